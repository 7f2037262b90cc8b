"""Metadata of machines: changed at once, without a restart, a new version or a lease."""

from collections.abc import Mapping
from typing import Any

from flyasync.api.resource import Caller, given, request
from flyasync.errors import StaleVersion, WrongState
from flyasync.models.machine_results import MetadataValue
from flyasync.transport.request import Repeat


class Metadata:
    """The part of `fly.machines` that is about metadata.

    An `update` that somebody prepared before a change here, and sends after it, undoes the change.
    """

    _caller: Caller

    async def metadata(self, app: str, machine_id: str) -> dict[str, str]:
        """Give the machine's metadata."""
        ask = request(
            "machines.metadata", app, machine_id, to="GET apps/{}/machines/{}/metadata", repeat=Repeat.ANYTIME
        )
        return await self._caller.read(ask, dict[str, str])

    async def get_metadata(self, app: str, machine_id: str, key: str) -> str:
        """Give the value of one key; empty when it has none. Raises NotFound for a key that is not there."""
        ask = request(
            "machines.get_metadata",
            app,
            machine_id,
            parts=(key,),
            to="GET apps/{}/machines/{}/metadata/{}",
            repeat=Repeat.ANYTIME,
        )
        return (await self._caller.read(ask, MetadataValue)).value or ""

    async def set_metadata(
        self, app: str, machine_id: str, key: str, value: str, *, updated_at: str | None = None
    ) -> None:
        """Set one key: at once, without a restart, a new version or a lease.

        An `update` that somebody prepared before and sends after this will undo it. `updated_at` (RFC 3339) says when
        the value was decided, should two writers cross. Repeated after a lost answer.
        """
        ask = request(
            "machines.set_metadata",
            app,
            machine_id,
            parts=(key,),
            to="POST apps/{}/machines/{}/metadata/{}",
            repeat=Repeat.ANYTIME,
            body={"value": value, **given(updated_at=updated_at)},
        )
        await self._caller.ask(ask)

    async def delete_metadata(self, app: str, machine_id: str, key: str) -> None:
        """Remove one key, as `set_metadata` sets one. Repeated after a lost answer."""
        ask = request(
            "machines.delete_metadata",
            app,
            machine_id,
            parts=(key,),
            to="DELETE apps/{}/machines/{}/metadata/{}",
            repeat=Repeat.ANYTIME,
        )
        await self._caller.ask(ask)

    async def patch_metadata(
        self,
        app: str,
        machine_id: str,
        metadata: Mapping[str, str | None],
        *,
        machine_version: str | None = None,
        updated_at: str | None = None,
    ) -> None:
        """Set several keys at once and remove those given as None; all others stay.

        With `machine_version`, StaleVersion is raised unless that is the machine's present version. `updated_at` is as
        in `set_metadata`. Repeated after a lost answer.
        """
        body = {"metadata": dict(metadata), **given(machine_version=machine_version, updated_at=updated_at)}
        await self._write("PATCH", app, machine_id, body)

    async def put_metadata(
        self,
        app: str,
        machine_id: str,
        metadata: Mapping[str, str | None],
        *,
        machine_version: str | None = None,
        updated_at: str | None = None,
    ) -> None:
        """Write metadata by PUT, which the API documents in the same words as PATCH: see `patch_metadata`.

        Keys that are not named are said to stay. Where that matters, read afterwards; to be rid of a key, name it with
        None.
        """
        body = {"metadata": dict(metadata), **given(machine_version=machine_version, updated_at=updated_at)}
        await self._write("PUT", app, machine_id, body)

    async def _write(self, method: str, app: str, machine_id: str, body: dict[str, Any]) -> None:
        ask = request(
            f"machines.{method.lower()}_metadata",
            app,
            machine_id,
            to=f"{method} apps/{{}}/machines/{{}}/metadata",
            repeat=Repeat.ANYTIME,
            body=body,
        )
        try:
            await self._caller.ask(ask)
        except WrongState as refused:
            # Of this operation's 412 the documents promise the meaning, but no wording.
            stale = StaleVersion(*refused.args, status=refused.status, code=refused.code, request_id=refused.request_id)
            stale.may_have_happened = refused.may_have_happened
            raise stale from refused
