"""An app's log over HTTP, a page at a time."""

from flyasync.emulator.core.go_json import integer
from flyasync.emulator.http.handler import Handler, Handlers
from flyasync.emulator.http.request import ApiRequest, ApiResponse
from flyasync.emulator.http.views.apps import log_line
from flyasync.emulator.world.world import World

HANDLERS = Handlers[Handler]()

_PAGE = 100


@HANDLERS.serves("listLogs")
def listing(world: World, request: ApiRequest) -> ApiResponse:
    """List the lines after a token, with the token for the next page."""
    token = request.query.get("next_token", "")
    after = integer(token, "next_token") if token else 0
    # The token also advances past the lines that the filters exclude.
    lines = world.lines.get(world.app(request.app).name, ())
    passed = [line for line in lines if line.serial > after][:_PAGE]
    next_token = str(passed[-1].serial) if passed else token
    instance, region = request.query.get("instance"), request.query.get("region")
    data = [
        log_line(world, line)
        for line in passed
        if instance in {None, "", line.instance} and region in {None, "", line.region}
    ]
    return ApiResponse(body={"data": data, "meta": {"next_token": next_token}})
