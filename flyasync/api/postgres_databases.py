"""The databases, extensions, users and queries of a managed Postgres cluster."""

from typing import Any, Final, TypeVar

from attrs import frozen

from flyasync.api.resource import Caller, QueryValue, enveloped, given, request
from flyasync.errors import InvalidInput
from flyasync.models.postgres import (
    PostgresActiveQuery,
    PostgresCredentials,
    PostgresDatabase,
    PostgresExtension,
    PostgresSlowQuery,
    PostgresUser,
)
from flyasync.transport.request import Repeat, Request

T = TypeVar("T")

_LONGEST_RANGE: Final = 604_800  # seconds: a week


@frozen
class PostgresDatabases:
    """The part of `fly.postgres` that is about databases, extensions, users and queries."""

    _caller: Caller

    async def list_databases(self, cluster_id: str) -> tuple[PostgresDatabase, ...]:
        """List a cluster's databases."""
        ask = asks("list_databases", "GET {}/databases", cluster_id)
        return await self._read(ask, tuple[PostgresDatabase, ...])

    async def create_database(self, cluster_id: str, name: str) -> PostgresDatabase:
        """Create a database. Not repeated after a lost response: list them to find out."""
        ask = asks("create_database", "POST {}/databases", cluster_id, body={"name": name}, repeat=Repeat.UNSENT)
        return await self._read(ask, PostgresDatabase)

    async def delete_database(self, cluster_id: str, name: str) -> PostgresDatabase:
        """Delete a database with everything in it.

        Repeated after a lost response.
        """
        ask = asks("delete_database", "DELETE {}/databases/{}", cluster_id, name)
        return await self._caller.remove(ask, PostgresDatabase, pick=enveloped) or PostgresDatabase(name=name)

    async def list_extensions(self, cluster_id: str, database: str) -> tuple[PostgresExtension, ...]:
        """List the extensions available to a database; those enabled are `installed`."""
        ask = asks("list_extensions", "GET {}/databases/{}/extensions", cluster_id, database)
        return await self._read(ask, tuple[PostgresExtension, ...])

    async def enable_extension(
        self,
        cluster_id: str,
        database: str,
        name: str,
        *,
        schema: str | None = None,
        create_schema: bool | None = None,
    ) -> None:
        """Enable an extension of a database, in `schema`, which `create_schema` creates.

        Repeated after a lost response, so Conflict may mean that it was just enabled.
        """
        body = {"name": name, **given(schema=schema, create_schema=create_schema)}
        ask = asks("enable_extension", "POST {}/databases/{}/extensions", cluster_id, database, body=body)
        await self._caller.ask(ask)

    async def disable_extension(self, cluster_id: str, database: str, name: str, *, force: bool | None = None) -> None:
        """Disable an extension of a database; `force` also drops what depends on it.

        Repeated after a lost response.
        """
        to = "DELETE {}/databases/{}/extensions/{}"
        await self._caller.ask(asks("disable_extension", to, cluster_id, database, name, query={"force": force}))

    async def list_users(self, cluster_id: str) -> tuple[PostgresUser, ...]:
        """List a cluster's users, without passwords."""
        return await self._read(asks("list_users", "GET {}/users", cluster_id), tuple[PostgresUser, ...])

    async def create_user(self, cluster_id: str, username: str, *, role: str) -> PostgresUser:
        """Create a user; `user_credentials` returns its password. Not repeated after a lost response."""
        body = {"username": username, "role": role}
        ask = asks("create_user", "POST {}/users", cluster_id, body=body, repeat=Repeat.UNSENT)
        return await self._read(ask, PostgresUser)

    async def update_user_role(self, cluster_id: str, username: str, *, role: str) -> None:
        """Change the role of a user. Repeated after a lost response."""
        await self._caller.ask(asks("update_user_role", "PATCH {}/users/{}", cluster_id, username, body={"role": role}))

    async def delete_user(self, cluster_id: str, username: str) -> None:
        """Delete a user. Repeated after a lost response."""
        await self._caller.ask(asks("delete_user", "DELETE {}/users/{}", cluster_id, username))

    async def user_credentials(self, cluster_id: str, username: str) -> PostgresCredentials:
        """Get a user's password; it stays out of the repr."""
        ask = asks("user_credentials", "GET {}/users/{}/credentials", cluster_id, username)
        return await self._read(ask, PostgresCredentials)

    async def rotate_password(
        self, cluster_id: str, username: str, *, kill_sessions: bool | None = None
    ) -> PostgresCredentials:
        """Rotate a user's password; `kill_sessions` ends the sessions that use the old one.

        Not repeated after a lost response: `user_credentials` then returns the valid one.
        """
        ask = asks(
            "rotate_password",
            "POST {}/users/{}/rotate_password",
            cluster_id,
            username,
            body=given(kill_sessions=kill_sessions),
            repeat=Repeat.UNSENT,
        )
        return await self._read(ask, PostgresCredentials)

    async def list_active_queries(self, cluster_id: str, database: str) -> tuple[PostgresActiveQuery, ...]:
        """List the queries that a database executes now, with their full text.

        Raises InvalidInput for a blank name.
        """
        if not database.strip():
            raise InvalidInput(f"{database!r} is not the name of a database; list_databases returns the names")
        ask = asks("list_active_queries", "GET {}/queries/active", cluster_id, query={"database": database})
        return await self._read(ask, tuple[PostgresActiveQuery, ...])

    async def list_slow_queries(
        self,
        cluster_id: str,
        *,
        range: int | None = None,  # noqa: A002 - the API's word
    ) -> tuple[PostgresSlowQuery, ...]:
        """List the 20 query patterns with the longest total execution time, in all databases except `postgres`.

        The times are those of the latest measurement within `range` seconds, 1 to 604800 (a week); they are cumulative,
        not for that range alone. Raises InvalidInput for another range.
        """
        if range is not None and not 1 <= range <= _LONGEST_RANGE:
            raise InvalidInput(f"range is {range!r}, but must be from 1 to {_LONGEST_RANGE} seconds (a week)")
        ask = asks("list_slow_queries", "GET {}/queries/slow", cluster_id, query={"range": range})
        return await self._read(ask, tuple[PostgresSlowQuery, ...])

    # Every response of this API is wrapped in `data`.
    async def _read(self, ask: Request, kind: type[T]) -> T:
        return await self._caller.read(ask, kind, pick=enveloped)


def asks(
    verb: str,
    to: str,
    cluster_id: str,
    *parts: str,
    repeat: Repeat = Repeat.ANYTIME,
    query: dict[str, QueryValue] | None = None,
    body: Any = None,
) -> Request:
    """Describe a request about one cluster, which its rate limit counts by."""
    method, _, rest = to.partition(" ")
    return request(
        f"postgres.{verb}",
        cluster_id,
        parts=parts,
        to=f"{method} postgres/{rest}",
        repeat=repeat,
        query=query,
        body=body,
    )
