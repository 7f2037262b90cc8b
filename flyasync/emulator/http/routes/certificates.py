"""Certificates over HTTP."""

from collections.abc import Mapping

from flyasync.emulator.core import pagination as paging
from flyasync.emulator.http.handler import Handler
from flyasync.emulator.http.request import ApiRequest, ApiResponse
from flyasync.emulator.http.views.resources import certificate, certificate_row, dns_records
from flyasync.emulator.world import certificates
from flyasync.emulator.world.world import World

_CUSTOM = {"hostname": "string", "fullchain": "string", "private_key": "string"}
_USUAL, _MOST = 25, 500


def listing(world: World, ask: ApiRequest) -> ApiResponse:
    """List a page of hostnames."""
    app, part = world.app(ask.app), ask.query.get("filter", "")
    limit = paging.size(ask.number("limit"), usual=_USUAL, most=_MOST)
    found = certificates.listed(app, part=part, cursor=ask.query.get("cursor", ""), limit=limit)
    total = sum(part in hostname for hostname in app.certificates)
    rows = [certificate_row(world, item) for item in found.items]
    return ApiResponse(body={"certificates": rows, "total_count": total, "next_cursor": found.next_cursor})


def request_acme(world: World, ask: ApiRequest) -> ApiResponse:
    """Ask for a certificate of Fly's own."""
    hostname = ask.body({"hostname": "string"}, "acmeCertificateRequest").get("hostname") or ""
    app = world.app(ask.app)
    return ApiResponse(status=201, body=certificate(world, app, certificates.request_acme(world, app, hostname)))


def bring_custom(world: World, ask: ApiRequest) -> ApiResponse:
    """Use a certificate made elsewhere."""
    body = ask.body(_CUSTOM, "customCertificateRequest")
    hostname, fullchain, private_key = (body.get(key) or "" for key in _CUSTOM)
    app = world.app(ask.app)
    found = certificates.bring_custom(world, app, hostname, fullchain=fullchain, private_key=private_key)
    return ApiResponse(status=201, body=certificate(world, app, found))


def get(world: World, ask: ApiRequest) -> ApiResponse:
    """Show a hostname."""
    app = world.app(ask.app)
    return ApiResponse(body=certificate(world, app, certificates.find(app, ask.params["hostname"])))


def check(world: World, ask: ApiRequest) -> ApiResponse:
    """Show a hostname and what its DNS says."""
    app = world.app(ask.app)
    found = certificates.find(app, ask.params["hostname"])
    return ApiResponse(body=certificate(world, app, found) | {"dns_records": dns_records(world, app, found)})


def delete(world: World, ask: ApiRequest) -> ApiResponse:
    """Forget a hostname and its certificates."""
    app = world.app(ask.app)
    del app.certificates[certificates.find(app, ask.params["hostname"]).hostname]
    return ApiResponse(status=204)


def delete_acme(world: World, ask: ApiRequest) -> ApiResponse:
    """Give up Fly's own certificate."""
    app = world.app(ask.app)
    return ApiResponse(body=certificate(world, app, certificates.drop_acme(world, app, ask.params["hostname"])))


def delete_custom(world: World, ask: ApiRequest) -> ApiResponse:
    """Give up the certificate that was brought."""
    app = world.app(ask.app)
    return ApiResponse(body=certificate(world, app, certificates.drop_custom(world, app, ask.params["hostname"])))


HANDLERS: Mapping[str, Handler] = {
    "listAppCertificates": listing,
    "createAppAcmeCertificate": request_acme,
    "createAppCustomCertificate": bring_custom,
    "getAppCertificate": get,
    "checkAppCertificate": check,
    "deleteAppCertificate": delete,
    "deleteAppAcmeCertificate": delete_acme,
    "deleteAppCustomCertificate": delete_custom,
}
