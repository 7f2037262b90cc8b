"""The web application: operations of the API pass through the middleware, control routes do not."""

from collections.abc import Mapping

from aiohttp import web
from aiohttp.typedefs import Handler as HttpHandler

from flyasync.emulator.core.errors import ApiError
from flyasync.emulator.core.operations import companions, operations
from flyasync.emulator.http.allowed_hosts import AllowedHosts
from flyasync.emulator.http.handler import Handler, LongHandler
from flyasync.emulator.http.middleware import ApiMiddleware
from flyasync.emulator.http.request import error_response
from flyasync.emulator.http.routes import (
    actions,
    apps,
    certificates,
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


def application(middleware: ApiMiddleware, control: ControlRoutes, allowed_hosts: AllowedHosts) -> web.Application:
    """Return the web application of one emulator, for these hosts."""

    @web.middleware
    async def answer_in_json(request: web.Request, handler: HttpHandler) -> web.StreamResponse:
        # Requests that are refused before an operation is found: foreign pages, unknown paths, bodies that are too big.
        try:
            allowed_hosts.demand(request)
            return await handler(request)
        except web.HTTPException as error:
            middleware.note_stray(request, error.status)
            return web.json_response({"error": error.reason.lower()}, status=error.status)
        except ApiError as error:
            response = error_response(error)
            return web.json_response(response.body, status=response.status)

    app = web.Application(client_max_size=_BIGGEST_BODY, middlewares=[answer_in_json])
    for operation in (*operations(), *companions()):

        async def serve(http: web.Request, action: str = operation.action) -> web.StreamResponse:
            return await middleware.serve(action, http)

        app.router.add_route(operation.method, operation.path, serve)
    app.add_routes(control.routes())
    return app
