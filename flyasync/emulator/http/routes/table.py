"""The table of routes: every operation of the API goes through the gate, the control calls stand beside it."""

from collections.abc import Mapping

from aiohttp import web
from aiohttp.typedefs import Handler, Middleware

from flyasync.emulator.core.errors import ApiError
from flyasync.emulator.core.operations import Operation, companions, operations
from flyasync.emulator.http.allowed_hosts import AllowedHosts
from flyasync.emulator.http.handler import Handler as ApiHandler
from flyasync.emulator.http.middleware import ApiMiddleware
from flyasync.emulator.http.request import error_response
from flyasync.emulator.http.routes import (
    actions as routes_actions,
    apps as routes_apps,
    certificates as routes_certificates,
    graphql as routes_graphql,
    ip_assignments as routes_ip_assignments,
    logs as routes_logs,
    machines as routes_machines,
    orgs as routes_orgs,
    postgres as routes_postgres,
    postgres_databases as routes_databases,
    processes as routes_processes,
    secret_keys as routes_secret_keys,
    secrets as routes_secrets,
    tokens as routes_tokens,
    volumes as routes_volumes,
)
from flyasync.emulator.http.routes.control import ControlRoutes

HANDLERS: Mapping[str, ApiHandler] = {
    **routes_apps.HANDLERS,
    **routes_machines.HANDLERS,
    **routes_actions.HANDLERS,
    **routes_processes.HANDLERS,
    **routes_volumes.HANDLERS,
    **routes_orgs.HANDLERS,
    **routes_secrets.HANDLERS,
    **routes_secret_keys.HANDLERS,
    **routes_certificates.HANDLERS,
    **routes_ip_assignments.HANDLERS,
    **routes_tokens.HANDLERS,
    **routes_postgres.HANDLERS,
    **routes_databases.HANDLERS,
    **routes_logs.HANDLERS,
    **routes_graphql.HANDLERS,
}
_BIGGEST_BODY = 16 * 1024**2


def application(middleware: ApiMiddleware, control: ControlRoutes, allowed_hosts: AllowedHosts) -> web.Application:
    """Return the web application of one emulator, which answers to these sites."""
    app = web.Application(client_max_size=_BIGGEST_BODY, middlewares=[_in_json(middleware, allowed_hosts)])
    app.add_routes([_route(middleware, operation) for operation in (*operations(), *companions())])
    app.add_routes(control.routes())
    return app


def _route(middleware: ApiMiddleware, operation: Operation) -> web.RouteDef:
    async def serve(request: web.Request) -> web.StreamResponse:
        return await middleware.serve(operation.action, request)

    return web.route(operation.method, operation.path, serve)


def _in_json(middleware: ApiMiddleware, allowed_hosts: AllowedHosts) -> Middleware:
    @web.middleware
    async def answer_in_json(request: web.Request, handler: Handler) -> web.StreamResponse:
        try:
            allowed_hosts.demand(request)
            return await handler(request)
        except web.HTTPException as error:
            middleware.note_stray(request, error.status)
            return web.json_response({"error": error.reason.lower()}, status=error.status)
        except ApiError as error:
            answer = error_response(error)
            return web.json_response(answer.body, status=answer.status)

    return answer_in_json
