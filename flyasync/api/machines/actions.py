"""Actions on machines: start, stop and their kin."""

from collections.abc import Mapping
from typing import Any

from flyasync.api.resource import Caller, QueryValue, given, request
from flyasync.errors import WrongState
from flyasync.models.machine_results import StartResult
from flyasync.models.types import go_duration
from flyasync.transport.request import Repeat, Request


class Actions:
    """The part of `fly.machines` that makes machines start, stop and take traffic."""

    _caller: Caller

    async def start(self, app: str, machine_id: str, *, nonce: str | None = None) -> StartResult:
        """Start a stopped or suspended machine; `wait` for `started` after it.

        Raises AlreadyStarting when there is nothing to do. While the machine is being created, replaced or stopped, and
        for some seconds after that, the API refuses: it is asked again for up to 30 s, then NotSettled is raised. Safe
        to repeat, and repeated after a lost answer.
        """
        ask = _action("start", app, machine_id, nonce=nonce)
        answer = await self._caller.read(ask, StartResult)
        if answer.status == "error":
            raise WrongState("machines.start", f"{app}/{machine_id}", answer.message or "not started", status=200)
        return answer

    async def stop(
        self,
        app: str,
        machine_id: str,
        *,
        signal: str | None = None,
        timeout: float | None = None,
        nonce: str | None = None,
    ) -> None:
        """Stop a machine: `signal` first (default SIGINT), and SIGKILL after `timeout` seconds (default 5).

        Stopping a stopped machine does nothing, so it is repeated after a lost answer. Stopping a suspended one throws
        its snapshot away.
        """
        body = given(signal=signal, timeout=None if timeout is None else go_duration(timeout))
        await self._caller.ask(_action("stop", app, machine_id, nonce=nonce, body=body or None))

    async def restart(
        self,
        app: str,
        machine_id: str,
        *,
        signal: str | None = None,
        timeout: float | None = None,
        force_stop: bool | None = None,
        nonce: str | None = None,
    ) -> None:
        """Stop and start a machine in one request, as `stop` does; its version stays.

        Not repeated when the answer is lost, since each one restarts it. Cancelled, it may have been restarted.
        """
        query = {
            "force_stop": force_stop,
            "timeout": None if timeout is None else go_duration(timeout),
            "signal": signal,
        }
        await self._caller.ask(_action("restart", app, machine_id, nonce=nonce, query=query, repeat=Repeat.UNSENT))

    async def suspend(self, app: str, machine_id: str, *, nonce: str | None = None) -> None:
        """Snapshot a started machine's memory and stop it; a start resumes it where it was, as a rule.

        Needs at most 2 GB of memory, no swap and no schedule (docs: reference/suspend-resume). Not repeated when the
        answer is lost, since a suspended machine refuses: `wait` for `suspended` to see.
        """
        await self._caller.ask(_action("suspend", app, machine_id, nonce=nonce, repeat=Repeat.UNSENT))

    async def signal(self, app: str, machine_id: str, signal: str) -> None:
        """Send a signal such as `SIGTERM` to the main process. Not repeated when the answer is lost."""
        await self._caller.ask(_action("signal", app, machine_id, body={"signal": signal}, repeat=Repeat.UNSENT))

    async def cordon(self, app: str, machine_id: str, *, nonce: str | None = None) -> None:
        """Take a machine out of the Fly Proxy's routing; private DNS still names it. Safe to repeat."""
        await self._caller.ask(_action("cordon", app, machine_id, nonce=nonce))

    async def uncordon(self, app: str, machine_id: str, *, nonce: str | None = None) -> None:
        """Put a machine back into the Fly Proxy's routing. Safe to repeat."""
        await self._caller.ask(_action("uncordon", app, machine_id, nonce=nonce))


def _action(
    verb: str,
    app: str,
    machine_id: str,
    *,
    nonce: str | None = None,
    query: Mapping[str, QueryValue] | None = None,
    body: Any = None,
    repeat: Repeat = Repeat.ANYTIME,
) -> Request:
    """Describe an action on a machine, such as `POST …/machines/{}/start`."""
    return request(
        f"machines.{verb}",
        app,
        machine_id,
        to=f"POST apps/{{}}/machines/{{}}/{verb}",
        repeat=repeat,
        query=query,
        body=body,
        nonce=nonce,
    )
