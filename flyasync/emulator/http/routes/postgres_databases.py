"""What is inside a Managed Postgres cluster over HTTP: databases, extensions, users."""

from collections.abc import Mapping

from flyasync.emulator.core.resources import PostgresUserRecord
from flyasync.emulator.http.handler import Handler
from flyasync.emulator.http.request import ApiRequest, ApiResponse
from flyasync.emulator.http.routes.postgres import cluster_of, data
from flyasync.emulator.http.views import postgres as views_postgres
from flyasync.emulator.world import postgres
from flyasync.emulator.world.world import World

_EXTENSION = {"name": "string", "schema": "string", "create_schema": "bool"}
_USER = {"username": "string", "role": "string"}


def databases(world: World, ask: ApiRequest) -> ApiResponse:
    """List the databases."""
    return data([{"name": name} for name in cluster_of(world, ask).databases])


def create_database(world: World, ask: ApiRequest) -> ApiResponse:
    """Make a database."""
    name = ask.body({"name": "string"}, "createDatabaseRequest").get("name") or ""
    postgres.add_database(cluster_of(world, ask), name)
    return data({"name": name})


def delete_database(world: World, ask: ApiRequest) -> ApiResponse:
    """Drop a database."""
    found, name = cluster_of(world, ask).databases, ask.params["database_name"]
    postgres.found(found, name, "database")
    del found[name]
    return data({"name": name})


def extensions(world: World, ask: ApiRequest) -> ApiResponse:
    """List the extensions there are, and those a database has."""
    installed = postgres.found(cluster_of(world, ask).databases, ask.params["database_name"], "database")
    return data(views_postgres.extensions(installed))


def enable_extension(world: World, ask: ApiRequest) -> ApiResponse:
    """Extend a database."""
    body = ask.body(_EXTENSION, "enableExtensionRequest")
    name, schema = body.get("name") or "", body.get("schema") or "public"
    postgres.enable(cluster_of(world, ask), ask.params["database_name"], name, schema)
    return data({"name": name, "schema": schema})


def disable_extension(world: World, ask: ApiRequest) -> ApiResponse:
    """Take an extension away."""
    postgres.disable(cluster_of(world, ask), ask.params["database_name"], ask.params["extension_name"])
    return ApiResponse(status=204)


def users(world: World, ask: ApiRequest) -> ApiResponse:
    """List the users, without passwords."""
    return data([views_postgres.user(user) for user in cluster_of(world, ask).users.values()])


def create_user(world: World, ask: ApiRequest) -> ApiResponse:
    """Let somebody log in."""
    body = ask.body(_USER, "createUserRequest")
    name, role = (body.get(key) or "" for key in _USER)
    return data(views_postgres.user(postgres.add_user(world, cluster_of(world, ask), name, role)))


def change_role(world: World, ask: ApiRequest) -> ApiResponse:
    """Give a user another role."""
    role = ask.body({"role": "string"}, "updateUserRequest").get("role") or ""
    user = _user(world, ask)
    postgres.demand_role(role)
    user.role = role
    return data(views_postgres.user(user))


def delete_user(world: World, ask: ApiRequest) -> ApiResponse:
    """Let a user log in no longer."""
    del cluster_of(world, ask).users[_user(world, ask).username]
    return ApiResponse(status=204)


def credentials(world: World, ask: ApiRequest) -> ApiResponse:
    """Show what a user logs in with."""
    return data(views_postgres.credentials(_user(world, ask)))


def rotate_password(world: World, ask: ApiRequest) -> ApiResponse:
    """Give a user another password, and show it."""
    ask.body({"kill_sessions": "bool"}, "rotatePasswordRequest", required=False)
    user = _user(world, ask)
    postgres.rotate_password(world, user)
    return data(views_postgres.credentials(user))


def _user(world: World, ask: ApiRequest) -> PostgresUserRecord:
    return postgres.found(cluster_of(world, ask).users, ask.params["username"], "user")


HANDLERS: Mapping[str, Handler] = {
    "listPostgresDatabases": databases,
    "createPostgresDatabase": create_database,
    "deletePostgresDatabase": delete_database,
    "listPostgresExtensions": extensions,
    "enablePostgresExtension": enable_extension,
    "disablePostgresExtension": disable_extension,
    "listPostgresUsers": users,
    "createPostgresUser": create_user,
    "updatePostgresUserRole": change_role,
    "deletePostgresUser": delete_user,
    "postgresUsersCredentials": credentials,
    "rotatePostgresUserPassword": rotate_password,
}
