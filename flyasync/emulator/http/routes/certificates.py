"""Certificates over HTTP."""

from flyasync.emulator.core import pagination
from flyasync.emulator.http.handler import Handler, Handlers
from flyasync.emulator.http.request import ApiRequest, ApiResponse
from flyasync.emulator.http.views.certificates import certificate, certificate_row, dns_records
from flyasync.emulator.world import certificates
from flyasync.emulator.world.world import World

HANDLERS = Handlers[Handler]()

_CUSTOM = {"hostname": "string", "fullchain": "string", "private_key": "string"}
# As documented.
_USUAL, _MOST = 25, 500


@HANDLERS.serves("listAppCertificates")
def listing(world: World, request: ApiRequest) -> ApiResponse:
    """List a page of hostnames."""
    app, part = world.app(request.app), request.query.get("filter", "")
    limit = pagination.size(request.number("limit"), usual=_USUAL, most=_MOST)
    found = certificates.listed(app, part=part, cursor=request.query.get("cursor", ""), limit=limit)
    total = sum(part in hostname for hostname in app.certificates)
    rows = [certificate_row(world, item) for item in found.items]
    return ApiResponse(body={"certificates": rows, "total_count": total, "next_cursor": found.next_cursor})


@HANDLERS.serves("createAppAcmeCertificate")
def request_acme(world: World, request: ApiRequest) -> ApiResponse:
    """Request a certificate from Fly."""
    hostname = request.body({"hostname": "string"}, "acmeCertificateRequest").get("hostname") or ""
    app = world.app(request.app)
    return ApiResponse(status=201, body=certificate(world, app, certificates.request_acme(world, app, hostname)))


@HANDLERS.serves("createAppCustomCertificate")
def bring_custom(world: World, request: ApiRequest) -> ApiResponse:
    """Upload a certificate."""
    body = request.body(_CUSTOM, "customCertificateRequest")
    hostname, fullchain, private_key = (body.get(key) or "" for key in _CUSTOM)
    app = world.app(request.app)
    found = certificates.bring_custom(world, app, hostname, fullchain=fullchain, private_key=private_key)
    return ApiResponse(status=201, body=certificate(world, app, found))


@HANDLERS.serves("getAppCertificate")
def get(world: World, request: ApiRequest) -> ApiResponse:
    """Show a hostname."""
    app = world.app(request.app)
    return ApiResponse(body=certificate(world, app, certificates.find(app, request.params["hostname"])))


@HANDLERS.serves("checkAppCertificate")
def check(world: World, request: ApiRequest) -> ApiResponse:
    """Show a hostname and its DNS records."""
    app = world.app(request.app)
    found = certificates.find(app, request.params["hostname"])
    return ApiResponse(body=certificate(world, app, found) | {"dns_records": dns_records(world, app, found)})


@HANDLERS.serves("deleteAppCertificate")
def delete(world: World, request: ApiRequest) -> ApiResponse:
    """Remove a hostname and its certificates."""
    certificates.remove(world.app(request.app), request.params["hostname"])
    return ApiResponse(status=204)


@HANDLERS.serves("deleteAppAcmeCertificate")
def delete_acme(world: World, request: ApiRequest) -> ApiResponse:
    """Remove the certificate from Fly."""
    app = world.app(request.app)
    return ApiResponse(body=certificate(world, app, certificates.drop_acme(world, app, request.params["hostname"])))


@HANDLERS.serves("deleteAppCustomCertificate")
def delete_custom(world: World, request: ApiRequest) -> ApiResponse:
    """Remove the uploaded certificate."""
    app = world.app(request.app)
    return ApiResponse(body=certificate(world, app, certificates.drop_custom(world, app, request.params["hostname"])))
