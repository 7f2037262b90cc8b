"""An app's log over HTTP, a page at a time."""

from collections.abc import Mapping

from flyasync.emulator.core.go_json import integer
from flyasync.emulator.core.resources import LogRecord
from flyasync.emulator.http.handler import Handler
from flyasync.emulator.http.request import ApiRequest, ApiResponse
from flyasync.emulator.http.views import resources as views_holdings
from flyasync.emulator.world.world import World

_PAGE = 100


def lines(world: World, ask: ApiRequest) -> ApiResponse:
    """Show the lines after a token, and the token to go on with."""
    token = ask.query.get("next_token", "")
    after = integer(token, "next_token") if token else 0
    # What the filters leave out is passed all the same, so the token moves past it.
    passed = [line for line in world.app(ask.app).lines if line.serial > after][:_PAGE]
    next_token = str(passed[-1].serial) if passed else token
    data = [views_holdings.log_line(world, line) for line in passed if _is_asked_for(line, ask)]
    return ApiResponse(body={"data": data, "meta": {"next_token": next_token}})


def _is_asked_for(line: LogRecord, ask: ApiRequest) -> bool:
    instance, region = ask.query.get("instance"), ask.query.get("region")
    return instance in {None, "", line.instance} and region in {None, "", line.region}


HANDLERS: Mapping[str, Handler] = {"listLogs": lines}
