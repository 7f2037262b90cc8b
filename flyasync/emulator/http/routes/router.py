"""The web server: operations of the API pass through the middleware, control routes do not."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from functools import cache, lru_cache, partial

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
    emulator_admin,
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
from flyasync.emulator.http.routes.emulator_admin import ControlRoutes

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
Answer = Callable[[web.BaseRequest], Awaitable[web.StreamResponse]]
Endpoint = Callable[[web.BaseRequest, Mapping[str, str]], Awaitable[web.StreamResponse]]
Binding = Callable[[ApiMiddleware, ControlRoutes], Endpoint]
"""What makes a route of every emulator the endpoint of one."""


def server(middleware: ApiMiddleware, control: ControlRoutes, allowed_hosts: AllowedHosts) -> web.Server:
    """Return the web server of one emulator, for these hosts.

    It has no `web.Application`, whose router tries one path after another: a get would take a fifth longer.
    """
    paths = _paths()

    @lru_cache(maxsize=_PATHS_KEPT)  # clients poll the same few paths
    def find(method: str, path: str) -> tuple[Endpoint, Mapping[str, str]] | None:
        found = paths.find(method, path)
        return None if found is None else (found[0](middleware, control), found[1])

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


@cache
def _paths() -> PathTree[Binding]:
    """Return the paths of every emulator: tests start thousands of them."""
    paths = PathTree[Binding]()
    for operation in (*operations(), *companions()):
        paths.add(operation.method, operation.path, partial(_operation, operation.action))
    for method, path, answer in emulator_admin.ROUTES:
        paths.add(method, path, partial(_control_route, answer))
    for method, path, page in console.ROUTES:
        paths.add(method, path, partial(_console_page, page))
    return paths


def _operation(action: str, middleware: ApiMiddleware, _: ControlRoutes) -> Endpoint:
    return partial(middleware.serve, action)


def _control_route(answer: emulator_admin.ControlRoute, _: ApiMiddleware, control: ControlRoutes) -> Endpoint:
    return partial(_without_params, partial(answer, control))


def _console_page(page: Answer, _: ApiMiddleware, __: ControlRoutes) -> Endpoint:
    return partial(_without_params, page)


async def _without_params(answer: Answer, http: web.BaseRequest, _: Mapping[str, str]) -> web.StreamResponse:
    return await answer(http)
