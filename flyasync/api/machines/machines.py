"""Machines: one method for each operation, and what it takes to use them safely."""

from collections.abc import Iterable, Mapping
from functools import partial
from typing import Any

from flyasync.api.machines.actions import Actions
from flyasync.api.machines.create_once import Creation, Once
from flyasync.api.machines.edit import Changes
from flyasync.api.machines.events import Waiting
from flyasync.api.machines.leases import Leases
from flyasync.api.machines.metadata import Metadata
from flyasync.api.machines.processes import Processes
from flyasync.api.machines.volume_claims import unclaimed
from flyasync.api.machines.wait import Waits, most_lookers, most_pollers
from flyasync.api.pagination import OnErrorRegions, Pages
from flyasync.api.resource import Caller, QueryValue, given, request
from flyasync.models.config import MachineConfig
from flyasync.models.json.codec import unstructure
from flyasync.models.lint.linter import check_config, refuse
from flyasync.models.machine import Machine, OrgMachine, OrgMachinePage
from flyasync.transport.request import Flight, Repeat
from flyasync.transport.retries import RetryPolicy


class Machines(Actions, Waiting, Metadata, Processes, Changes):
    """`fly.machines`: create, watch, change and destroy machines (docs: machines/api/machines-resource).

    A machine's id lasts for its life; its `instance_id` names the present version of its config. Methods that take a
    `nonce` are guarded by the machine's lease: see `fly.leases`. They raise LeaseHeld while somebody else holds it.
    """

    def __init__(self, caller: Caller, policy: RetryPolicy, leases: Leases, *, calls: int, polls: int) -> None:
        super().__init__(leases)
        self._caller = caller
        limits = {"pollers": most_pollers(polls), "lookers": most_lookers(calls)}
        self._waits = Waits(self.get, self._survey, self._poll, **limits)
        self.once = Once(self.create, self.get, self.list, policy)

    async def list(
        self,
        app: str,
        *,
        region: str | None = None,
        state: str | Iterable[str] | None = None,
        metadata: Mapping[str, str] | None = None,
        include_deleted: bool | None = None,
        include_leases: bool | None = None,
        summary: bool | None = None,
    ) -> tuple[Machine, ...]:
        """List an app's machines.

        `state` is one state or several, `metadata` keys with the values they must have. `include_deleted` adds the
        destroyed ones, `include_leases` fills `Machine.lease`, `summary` leaves out config, events and checks. The list
        can lag behind by seconds: a machine that was just created may be missing.
        """
        query: dict[str, str | bool | None] = {
            "region": region,
            "state": state if state is None or isinstance(state, str) else ",".join(state),
            "include_deleted": include_deleted,
            "include_leases": include_leases,
            "summary": summary,
            **{f"metadata.{key}": value for key, value in (metadata or {}).items()},
        }
        ask = request("machines.list", app, to="GET apps/{}/machines", repeat=Repeat.ANYTIME, query=query)
        return await self._caller.read(ask, tuple[Machine, ...])

    async def create(
        self,
        app: str,
        config: MachineConfig,
        *,
        name: str | None = None,
        region: str | Iterable[str] | None = None,
        skip_launch: bool | None = None,
        skip_service_registration: bool | None = None,
        lease_ttl: int | None = None,
        skip_secrets: bool | None = None,
        min_secrets_version: int | None = None,
        flight: Flight | None = None,
    ) -> Machine:
        """Create a machine; unless `skip_launch`, it boots by itself.

        `region` is a code, or several codes and aliases in order of preference; left out, it is one near the caller.
        `name` must be unique in the app. `skip_service_registration` creates it cordoned. With `lease_ttl`, in seconds,
        the answer holds the `nonce` of a lease on it. The rate is per app: one create a second, three at once.

        Raises InvalidInput for a config that the API would refuse, NoCapacity when there is no room, NameTaken for a
        name in use, VolumeInUse for a volume that a machine holds. An image that was just pushed and a volume whose
        machine is gone are waited for first (ImageNotFound, ClaimLingers). Never repeated when the answer is lost,
        since every create that arrives makes a machine: use `create_once` for that. Cancelled, it may have been
        created, unless `flight` says that the request never left.
        """
        refuse(check_config(config))
        body = given(
            name=name,
            region=region if region is None or isinstance(region, str) else ",".join(region),
            skip_launch=skip_launch,
            skip_service_registration=skip_service_registration,
            lease_ttl=lease_ttl,
            skip_secrets=skip_secrets,
            min_secrets_version=min_secrets_version,
        )
        ask = request(
            "machines.create",
            app,
            to="POST apps/{}/machines",
            repeat=Repeat.UNSENT,
            body={"config": unstructure(config), **body},
            flight=flight,
        )
        return await unclaimed(ask, lambda ask: self._caller.read(ask, Machine), partial(self.get, app))

    async def create_once(self, app: str, config: MachineConfig, *, name: str, launch: str, **options: Any) -> Machine:
        """Create the machine `name` exactly once, however many answers are lost.

        `launch` names the occasion. It goes into the machine's metadata, and together with `name` it is the machine's
        identity: whoever asks for the same two again gets the same machine, now or a year later. After a lost or
        doubtful answer, and when the API says that the name is in use, the machine is looked up by name and launch and
        adopted; the unique name keeps a second try from making a second machine, even while lists lack the first.
        `options` are those of `create`.

        Raises what `create` raises; NameTaken only when the name belongs to a machine of another launch. An error that
        `may_have_happened` comes out only when the API left it in doubt for all retries. Cancelled before its request
        left, nothing happened; cancelled later, it waits for the answer first, as long as one exchange may take, and
        the machine may have been created: asking again finds it. `once.create` with a `Creation` tells which.
        """
        return await self.once.create(Creation(app=app, config=config, name=name, launch=launch, options=options))

    async def get(self, app: str, machine_id: str, *, include_leases: bool | None = None) -> Machine:
        """Get one machine; 5 a second, 10 at once. A destroyed one is still found for a while.

        `include_leases` fills `Machine.lease`.
        """
        ask = request(
            "machines.get",
            app,
            machine_id,
            to="GET apps/{}/machines/{}",
            repeat=Repeat.ANYTIME,
            query={"include_leases": include_leases},
        )
        return await self._caller.read(ask, Machine)

    async def update(
        self,
        app: str,
        machine_id: str,
        config: MachineConfig,
        *,
        current_version: str | None = None,
        nonce: str | None = None,
        skip_launch: bool | None = None,
        skip_service_registration: bool | None = None,
        lease_ttl: int | None = None,
        skip_secrets: bool | None = None,
        min_secrets_version: int | None = None,
    ) -> Machine:
        """Replace the machine's whole config: what is missing in `config` is gone.

        A started machine restarts with the new version; a stopped one stays stopped. Start from a fresh `get`, and pass
        its `instance_id` as `current_version`, so that a change by somebody else in between raises StaleVersion.
        Region, name and mounts cannot change. Raises NoCapacity when the host is full; the old version then runs on.
        With `lease_ttl`, in seconds, the answer holds the `nonce` of a lease on it. Not repeated when the answer is
        lost. Cancelled, it may have been done.
        """
        refuse(check_config(config))
        return await self._update(
            app,
            machine_id,
            config,
            nonce=nonce,
            current_version=current_version,
            skip_launch=skip_launch,
            skip_service_registration=skip_service_registration,
            lease_ttl=lease_ttl,
            skip_secrets=skip_secrets,
            min_secrets_version=min_secrets_version,
        )

    async def _update(
        self, app: str, machine_id: str, config: MachineConfig, *, nonce: str | None, **options: Any
    ) -> Machine:
        ask = request(
            "machines.update",
            app,
            machine_id,
            to="POST apps/{}/machines/{}",
            repeat=Repeat.UNSENT,
            body={"config": unstructure(config), **given(**options)},
            nonce=nonce,
        )
        return await self._caller.read(ask, Machine)

    async def delete(self, app: str, machine_id: str, *, force: bool | None = None, nonce: str | None = None) -> None:
        """Destroy a machine; `force` kills it first if it runs.

        Raises WrongState for a running machine without `force`. Repeated after a lost answer. It can be read for a
        while longer, in state `destroyed`.
        """
        await self._caller.ask(
            request(
                "machines.delete",
                app,
                machine_id,
                to="DELETE apps/{}/machines/{}",
                repeat=Repeat.ANYTIME,
                query={"force": force},
                nonce=nonce,
            )
        )

    def list_org(
        self,
        org_slug: str,
        *,
        region: str | None = None,
        state: str | Iterable[str] | None = None,
        updated_after: str | None = None,
        include_deleted: bool | None = None,
        summary: bool | None = None,
        limit: int | None = None,
        on_error_regions: OnErrorRegions | None = None,
    ) -> Pages[OrgMachine]:
        """List the machines of a whole organization with `async for`, fetched page by page as they are read.

        They come by `updated_at`, oldest first, as a rule, and lag behind. One that changes during the listing may come
        again, as it is by then: the later one counts. To watch for changes, ask `updated_after`
        (RFC 3339) the `last_updated_at` of the list before, less some overlap. `limit` is the size of a page, at most
        1000. Needs a token of the organization. Each page is one request, and may be repeated.

        A region that cannot be read is never passed over in silence: after the last row IncompleteList names it, or,
        when you pass `on_error_regions`, that is called with such regions as they are met. Never take a machine that is
        absent for a destroyed one while there are `error_regions`.
        """
        query: dict[str, QueryValue] = {
            "region": region,
            "state": state if state is None or isinstance(state, str) else ",".join(state),
            "updated_after": updated_after,
            "include_deleted": include_deleted,
            "summary": summary,
            "limit": limit,
        }
        return Pages("machines.list_org", org_slug, partial(self._org_page, org_slug, query), on_error_regions)

    async def _org_page(self, org_slug: str, query: Mapping[str, QueryValue], cursor: str | None) -> OrgMachinePage:
        ask = request(
            "machines.list_org",
            org_slug,
            to="GET orgs/{}/machines",
            repeat=Repeat.ANYTIME,
            query={**query, "cursor": cursor},
        )
        return await self._caller.read(ask, OrgMachinePage)
