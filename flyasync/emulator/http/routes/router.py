"""The web server: operations of the API pass through the middleware, control routes do not."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from functools import lru_cache, partial

from aiohttp import web

from flyasync.emulator.core.errors import ApiError
from flyasync.emulator.core.operations import companions, operations
from flyasync.emulator.http.allowed_hosts import AllowedHosts
from flyasync.emulator.http.handler import Handler, LongHandler
from flyasync.emulator.http.middleware import ApiMiddleware
from flyasync.emulator.http.path_tree import PathTree
from flyasync.emulator.http.request import error_response
from flyasync.emulator.http.routes import (
    actions,
    apps,
    certificates,
    console,
    flyctl_deploys,
    flyctl_postgres,
    graphql,
    ip_assignments,
    leases,
    logs,
    machines,
    orgs,
    postgres,
    postgres_databases,
    processes,
    secret_keys,
    secrets,
    tokens,
    volumes,
    wait,
)
from flyasync.emulator.http.routes.emulator_admin import ControlRoute, ControlRoutes

HANDLERS: Mapping[str, Handler] = {
    **apps.HANDLERS,
    **machines.HANDLERS,
    **actions.HANDLERS,
    **leases.HANDLERS,
    **processes.HANDLERS,
    **volumes.HANDLERS,
    **orgs.HANDLERS,
    **secrets.HANDLERS,
    **secret_keys.HANDLERS,
    **certificates.HANDLERS,
    **ip_assignments.HANDLERS,
    **tokens.HANDLERS,
    **postgres.HANDLERS,
    **postgres_databases.HANDLERS,
    **logs.HANDLERS,
    **flyctl_deploys.HANDLERS,
    **flyctl_postgres.HANDLERS,
    **graphql.HANDLERS,
}
LONG_HANDLERS: Mapping[str, LongHandler] = wait.HANDLERS
_BIGGEST_BODY = 16 * 1024**2
_PATHS_KEPT = 4096
Endpoint = Callable[[web.BaseRequest, Mapping[str, str]], Awaitable[web.StreamResponse]]


def server(middleware: ApiMiddleware, control: ControlRoutes, allowed_hosts: AllowedHosts) -> web.Server:
    """Return the web server of one emulator, for these hosts.

    It has no `web.Application`, whose router tries one path after another: a get would take a fifth longer.
    """
    paths = PathTree[Endpoint]()
    for operation in (*operations(), *companions()):
        paths.add(operation.method, operation.path, partial(middleware.serve, operation.action))
    for method, path, answer in (*control.routes(), *console.ROUTES):
        paths.add(method, path, partial(_without_params, answer))
    find = lru_cache(maxsize=_PATHS_KEPT)(paths.find)  # clients poll the same few paths

    async def respond(http: web.BaseRequest) -> web.StreamResponse:
        try:
            allowed_hosts.demand(http)
            path = http.rel_url.path_safe
            found = find(http.method, path)
            if found is None:
                raise web.HTTPMethodNotAllowed(http.method, ()) if paths.knows(path) else web.HTTPNotFound
            if "Expect" in http.headers:
                await http.writer.write(b"HTTP/1.1 100 Continue\r\n\r\n")
            endpoint, params = found
            return await endpoint(http, params)
        # Requests that are refused before an operation is found: foreign pages, unknown paths, bodies that are too big.
        except web.HTTPException as error:
            middleware.note_stray(http, error.status)
            return web.json_response({"error": error.reason.lower()}, status=error.status)
        except ApiError as error:
            response = error_response(error)
            return web.json_response(response.body, status=response.status)

    request = partial(web.BaseRequest, loop=asyncio.get_running_loop(), client_max_size=_BIGGEST_BODY)
    return web.Server(respond, request_factory=request, handler_cancellation=True, access_log=None)


async def _without_params(answer: ControlRoute, http: web.BaseRequest, _: Mapping[str, str]) -> web.StreamResponse:
    return await answer(http)
