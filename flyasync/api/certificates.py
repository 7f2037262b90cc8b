"""Certificates: hostnames of your own for an app."""

from attrs import frozen

from flyasync.api.pagination import Pages, pages
from flyasync.api.resource import Caller, request
from flyasync.models.certificate import Certificate, CertificatePage, CertificateSummary
from flyasync.safe_text import hidden
from flyasync.transport.request import Repeat, Request


@frozen
class Certificates:
    """`fly.certificates`: hostnames of an app, and their certificates (docs: machines/api/certificates-resource).

    A hostname has a certificate from Fly.io by ACME, one of your own, or both. After requesting one by ACME, set the
    DNS records in `dns_requirements`; `check` looks them up and returns what is missing.
    """

    _caller: Caller

    def list(self, app: str, *, filter: str | None = None, limit: int | None = None) -> Pages[CertificateSummary]:  # noqa: A002 - the API's word
        """List an app's hostnames with `async for`, fetched page by page as they are read.

        `filter` is part of a hostname; `limit` is the size of a page, by default 25 and at most 500. Each page is one
        request, and may be repeated.
        """
        query = {"filter": filter, "limit": limit}
        return pages(
            self._caller, CertificatePage, "certificates.list", app, to="GET apps/{}/certificates", query=query
        )

    async def get(self, app: str, hostname: str) -> Certificate:
        """Get one hostname with its certificates. Raises NotFound if the app does not have it."""
        return await self._one("get", "GET apps/{}/certificates/{}", app, hostname)

    async def create_acme(self, app: str, hostname: str) -> Certificate:
        """Add a hostname with a certificate that Fly.io gets and renews by ACME; `*.example.com` needs DNS validation.

        The response lists the DNS records to set. Not repeated after a lost response: get the hostname to find out.
        """
        return await self._create("acme", app, {"hostname": hostname})

    async def create_custom(self, app: str, hostname: str, *, fullchain: str, private_key: str) -> Certificate:
        """Add a hostname with a certificate of your own, both parts as PEM text.

        It is not renewed automatically. The key is in no repr, error or event of this library. Not repeated after a
        lost response.
        """
        private_key = hidden(private_key)
        body = {"hostname": hostname, "fullchain": fullchain, "private_key": private_key}
        return await self._create("custom", app, body)

    async def check(self, app: str, hostname: str) -> Certificate:
        """Look up the hostname's DNS now, and try to validate it; `dns_records` are those found.

        May be repeated, but the certificate authority has limits of its own: see `rate_limited_until`.
        """
        return await self._one("check", "POST apps/{}/certificates/{}/check", app, hostname)

    async def delete(self, app: str, hostname: str) -> None:
        """Remove a hostname and all its certificates from an app.

        Repeated after a lost response.
        """
        ask = _request("delete", "DELETE apps/{}/certificates/{}", app, hostname)
        await self._caller.ask(ask)

    async def delete_acme(self, app: str, hostname: str) -> Certificate:
        """Delete the ACME certificate of a hostname, and keep a custom one; return the hostname as it is afterwards.

        Repeated after a lost response.
        """
        return await self._left("delete_acme", "DELETE apps/{}/certificates/{}/acme", app, hostname)

    async def delete_custom(self, app: str, hostname: str) -> Certificate:
        """Delete the custom certificate of a hostname, and keep the ACME one; the result may contain a `warning`.

        Repeated after a lost response.
        """
        return await self._left("delete_custom", "DELETE apps/{}/certificates/{}/custom", app, hostname)

    async def _create(self, kind: str, app: str, body: dict[str, str]) -> Certificate:
        to = f"POST apps/{{}}/certificates/{kind}"
        ask = request(f"certificates.create_{kind}", app, to=to, repeat=Repeat.UNSENT, body=body)
        return await self._caller.read(ask, Certificate)

    async def _left(self, verb: str, to: str, app: str, hostname: str) -> Certificate:
        """Delete one kind of certificate of a hostname, and return the hostname as it is afterwards."""
        return await self._caller.remove(_request(verb, to, app, hostname), Certificate) or await self.get(
            app, hostname
        )

    async def _one(self, verb: str, to: str, app: str, hostname: str) -> Certificate:
        return await self._caller.read(_request(verb, to, app, hostname), Certificate)


def _request(verb: str, to: str, app: str, hostname: str) -> Request:
    return request(f"certificates.{verb}", app, parts=(hostname,), to=to, repeat=Repeat.ANYTIME)
