"""IP assignments: the addresses under which an app can be reached."""

from attrs import frozen

from flyasync.api.resource import Caller, given, request
from flyasync.models.ip_assignment import IPAssignment, IPAssignmentList
from flyasync.transport.request import Repeat


@frozen
class IPAssignments:
    """`fly.ip_assignments`: assign addresses to an app and release them (docs: networking/services).

    An app with services on the ports 80 and 443 is reached by `shared_v4` and `v6`; other ports need a `v4` of its
    own, which costs money. `private_v6` is for Flycast: private, but through the Fly Proxy.
    """

    _caller: Caller

    async def list(self, app: str) -> tuple[IPAssignment, ...]:
        """List an app's addresses."""
        ask = request("ip_assignments.list", app, to="GET apps/{}/ip_assignments", repeat=Repeat.ANYTIME)
        return tuple((await self._caller.read(ask, IPAssignmentList)).ips or ())

    async def create(
        self,
        app: str,
        *,
        type: str,  # noqa: A002 - the API's word
        region: str | None = None,
        org_slug: str | None = None,
        network: str | None = None,
        service_name: str | None = None,
    ) -> IPAssignment:
        """Assign an address to an app.

        Not repeated after a lost response, since each request assigns another address, which may cost money: list the
        addresses to find out. If cancelled, the address may have been assigned.

        Args:
            app: the app.
            type: `v4`, `v6`, `shared_v4` or `private_v6`; for outgoing connections `egress_v4`, `egress_v6`, or
                `egress_pair` for both, which the API also spells `egress-pair`.
            region: the region in which an egress address is used.
            org_slug: the organization that may reach a `private_v6`.
            network: the network that may reach a `private_v6`.
            service_name: passed to the API, which does not document it.
        """
        body = {"type": type, **given(region=region, org_slug=org_slug, network=network, service_name=service_name)}
        ask = request("ip_assignments.create", app, to="POST apps/{}/ip_assignments", repeat=Repeat.UNSENT, body=body)
        return await self._caller.read(ask, IPAssignment)

    async def delete(self, app: str, ip: str) -> None:
        """Release an address of an app; a dedicated address cannot be recovered.

        Repeated after a lost response.
        """
        ask = request(
            "ip_assignments.delete", app, parts=(ip,), to="DELETE apps/{}/ip_assignments/{}", repeat=Repeat.ANYTIME
        )
        await self._caller.ask(ask)
