"""Databases, extensions, users and queries of Managed Postgres clusters over HTTP."""

import re

from flyasync.emulator.core.errors import ApiError
from flyasync.emulator.core.records import PostgresUserRecord
from flyasync.emulator.http.handler import Handler, Handlers
from flyasync.emulator.http.request import ApiRequest, ApiResponse
from flyasync.emulator.http.routes.postgres import cluster_of, data
from flyasync.emulator.http.views import postgres as views_postgres
from flyasync.emulator.world import postgres
from flyasync.emulator.world.world import World

HANDLERS = Handlers[Handler]()

_EXTENSION = {"name": "string", "schema": "string", "create_schema": "bool"}
_USER = {"username": "string", "role": "string"}
_RANGE = re.compile("[0-9]{1,6}")
_LONGEST_RANGE = 604_800


@HANDLERS.serves("listPostgresDatabases")
def databases(world: World, request: ApiRequest) -> ApiResponse:
    """List the databases."""
    return data([{"name": name} for name in cluster_of(world, request).databases])


@HANDLERS.serves("createPostgresDatabase")
def create_database(world: World, request: ApiRequest) -> ApiResponse:
    """Create a database."""
    name = request.body({"name": "string"}, "createDatabaseRequest").get("name") or ""
    postgres.add_database(cluster_of(world, request), name)
    return data({"name": name}, status=201)


@HANDLERS.serves("deletePostgresDatabase")
def delete_database(world: World, request: ApiRequest) -> ApiResponse:
    """Drop a database."""
    name = request.params["database_name"]
    postgres.remove(cluster_of(world, request).databases, name, "Database")
    return data({"name": name})


@HANDLERS.serves("listPostgresExtensions")
def extensions(world: World, request: ApiRequest) -> ApiResponse:
    """List the available extensions, and those of a database."""
    installed = postgres.found(cluster_of(world, request).databases, request.params["database_name"], "Database")
    return data(views_postgres.extensions(installed))


@HANDLERS.serves("enablePostgresExtension")
def enable_extension(world: World, request: ApiRequest) -> ApiResponse:
    """Enable an extension."""
    body = request.body(_EXTENSION, "enableExtensionRequest")
    name, schema = body.get("name") or "", body.get("schema") or "public"
    postgres.enable(cluster_of(world, request), request.params["database_name"], name, schema)
    return ApiResponse(status=204)


@HANDLERS.serves("disablePostgresExtension")
def disable_extension(world: World, request: ApiRequest) -> ApiResponse:
    """Disable an extension."""
    postgres.disable(cluster_of(world, request), request.params["database_name"], request.params["extension_name"])
    return ApiResponse(status=204)


@HANDLERS.serves("listPostgresUsers")
def users(world: World, request: ApiRequest) -> ApiResponse:
    """List the users, without passwords."""
    return data([views_postgres.user(user) for user in cluster_of(world, request).users.values()])


@HANDLERS.serves("createPostgresUser")
def create_user(world: World, request: ApiRequest) -> ApiResponse:
    """Add a user; the password is part of the credentials."""
    body = request.body(_USER, "createUserRequest")
    name, role = (body.get(key) or "" for key in _USER)
    return data(views_postgres.user(postgres.add_user(world, cluster_of(world, request), name, role)), status=201)


@HANDLERS.serves("updatePostgresUserRole")
def change_role(world: World, request: ApiRequest) -> ApiResponse:
    """Change the role of a user."""
    role = request.body({"role": "string"}, "updateUserRequest").get("role") or ""
    postgres.change_role(_user(world, request), role)
    return ApiResponse(status=204)


@HANDLERS.serves("deletePostgresUser")
def delete_user(world: World, request: ApiRequest) -> ApiResponse:
    """Remove a user."""
    postgres.remove(cluster_of(world, request).users, request.params["username"], "User")
    return ApiResponse(status=204)


@HANDLERS.serves("postgresUsersCredentials")
def credentials(world: World, request: ApiRequest) -> ApiResponse:
    """Show the credentials of a user."""
    return data(views_postgres.credentials(_user(world, request)))


@HANDLERS.serves("rotatePostgresUserPassword")
def rotate_password(world: World, request: ApiRequest) -> ApiResponse:
    """Replace the password of a user, and return it."""
    request.body({"kill_sessions": "bool"}, "rotatePasswordRequest", required=False)
    # There are no open sessions to close.
    user = _user(world, request)
    postgres.rotate_password(world, user)
    return data(views_postgres.credentials(user))


@HANDLERS.serves("listPostgresActiveQueries")
def active_queries(world: World, request: ApiRequest) -> ApiResponse:
    """List the queries that a database executes; there are none, since no database runs here."""
    cluster_of(world, request)
    if not request.query.get("database", "").strip():
        raise ApiError(422, "database must be a non-empty string")
    return data([])


@HANDLERS.serves("listPostgresSlowQueries")
def slow_queries(world: World, request: ApiRequest) -> ApiResponse:
    """List the slowest queries of a cluster; there are none, since no database runs here."""
    cluster_of(world, request)
    text = request.query.get("range", "1")
    if not _RANGE.fullmatch(text) or not 1 <= int(text) <= _LONGEST_RANGE:
        raise ApiError(422, f"range must be an integer between 1 and {_LONGEST_RANGE} seconds")
    return data([])


def _user(world: World, request: ApiRequest) -> PostgresUserRecord:
    return postgres.found(cluster_of(world, request).users, request.params["username"], "User")
