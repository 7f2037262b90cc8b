"""What is inside a Managed Postgres cluster over HTTP: databases, extensions, users."""

from collections.abc import Mapping

from flyasync.emulator.core.resources import PostgresUser
from flyasync.emulator.http.handler import Handler
from flyasync.emulator.http.request import Answer, Ask
from flyasync.emulator.http.routes.postgres import cluster_of, data
from flyasync.emulator.http.views import postgres as views_postgres
from flyasync.emulator.world import postgres
from flyasync.emulator.world.world import World

_EXTENSION = {"name": "string", "schema": "string", "create_schema": "bool"}
_USER = {"username": "string", "role": "string"}


def databases(world: World, ask: Ask) -> Answer:
    """List the databases."""
    return data([{"name": name} for name in cluster_of(world, ask).databases])


def create_database(world: World, ask: Ask) -> Answer:
    """Make a database."""
    name = ask.body({"name": "string"}, "createDatabaseRequest").get("name") or ""
    postgres.add_database(cluster_of(world, ask), name)
    return data({"name": name})


def delete_database(world: World, ask: Ask) -> Answer:
    """Drop a database."""
    found, name = cluster_of(world, ask).databases, ask.params["database_name"]
    postgres.found(found, name, "database")
    del found[name]
    return data({"name": name})


def extensions(world: World, ask: Ask) -> Answer:
    """List the extensions there are, and those a database has."""
    installed = postgres.found(cluster_of(world, ask).databases, ask.params["database_name"], "database")
    return data(views_postgres.extensions(installed))


def enable_extension(world: World, ask: Ask) -> Answer:
    """Extend a database."""
    body = ask.body(_EXTENSION, "enableExtensionRequest")
    name, schema = body.get("name") or "", body.get("schema") or "public"
    postgres.enable(cluster_of(world, ask), ask.params["database_name"], name, schema)
    return data({"name": name, "schema": schema})


def disable_extension(world: World, ask: Ask) -> Answer:
    """Take an extension away."""
    postgres.disable(cluster_of(world, ask), ask.params["database_name"], ask.params["extension_name"])
    return Answer(status=204)


def users(world: World, ask: Ask) -> Answer:
    """List the users, without passwords."""
    return data([views_postgres.user(user) for user in cluster_of(world, ask).users.values()])


def create_user(world: World, ask: Ask) -> Answer:
    """Let somebody log in."""
    body = ask.body(_USER, "createUserRequest")
    name, role = (body.get(key) or "" for key in _USER)
    return data(views_postgres.user(postgres.add_user(world, cluster_of(world, ask), name, role)))


def change_role(world: World, ask: Ask) -> Answer:
    """Give a user another role."""
    role = ask.body({"role": "string"}, "updateUserRequest").get("role") or ""
    user = _user(world, ask)
    postgres.demand_role(role)
    user.role = role
    return data(views_postgres.user(user))


def delete_user(world: World, ask: Ask) -> Answer:
    """Let a user log in no longer."""
    del cluster_of(world, ask).users[_user(world, ask).username]
    return Answer(status=204)


def credentials(world: World, ask: Ask) -> Answer:
    """Show what a user logs in with."""
    return data(views_postgres.credentials(_user(world, ask)))


def rotate_password(world: World, ask: Ask) -> Answer:
    """Give a user another password, and show it."""
    ask.body({"kill_sessions": "bool"}, "rotatePasswordRequest", required=False)
    user = _user(world, ask)
    postgres.rotate_password(world, user)
    return data(views_postgres.credentials(user))


def _user(world: World, ask: Ask) -> PostgresUser:
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
