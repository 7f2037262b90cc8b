"""Waiting for machines, and what happened to them meanwhile."""

from typing import Any

from flyasync.api.machines.poller import Detail
from flyasync.api.machines.wait import Waits
from flyasync.api.resource import Caller, request
from flyasync.errors import InvalidInput
from flyasync.models.machine import Machine, MachineEvent
from flyasync.models.machine_results import MachineVersion, WaitResult
from flyasync.transport.request import Repeat

_SILENT = frozenset({"config", "incomplete_config", "image_ref", "checks"})
"""What says nothing about the state of a machine, and takes most of the time to read."""


class Waiting:
    """The part of `fly.machines` that waits and looks back."""

    _caller: Caller
    _waits: Waits

    async def wait(
        self,
        app: str,
        machine_id: str,
        *,
        state: str = "started",
        version: str | None = None,
        timeout: float = 300.0,
        just_created: bool = False,
    ) -> str:
        """Wait until the machine is in `state`, for up to `timeout` seconds; give the state reached.

        `settled` stands for any state that it does not leave by itself. With `version`, the wait is for that version of
        the machine and no other. A machine that was `just_created` may be unknown for up to 30 s without an error.

        The API cuts a wait at 60 s, so this asks again and again. Up to 32 machines of one app, and 800 in all (four in
        five of `Timeouts.polls`), are waited on with a long poll each; beyond that, one list a second serves all of an
        app, since it tells the same about any number of machines without holding a connection for each. It tells half
        a second later, as a rule.

        Where the API refuses a poll (400, 409, 412, 422), the machine is looked at and the wait goes on, unless it is
        the state or the version asked for that cannot be one: then the refusal is raised.

        Raises WaitFailed when the time is up, and as soon as the machine can no longer get there: it has failed, is
        destroyed, was replaced by another version, or its process has ended. A machine that is not there counts as
        destroyed, if that is waited for, and raises NotFound otherwise. Changes nothing, cancelled or not.
        """
        if timeout <= 0:
            raise InvalidInput(f"timeout is {timeout!r}, but must be a number of seconds above 0")
        return await self._waits.until(
            app, machine_id, state, version=version, timeout=timeout, just_created=just_created
        )

    async def wait_healthy(
        self,
        app: str,
        machine_id: str,
        *,
        version: str | None = None,
        checks: int = 0,
        timeout: float = 300.0,
        just_created: bool = False,
    ) -> Machine:
        """Wait until the machine runs and every check of its config has reported and passes; give the machine.

        With `version`, the wait is for that version of the machine and no other. At least so many `checks` have to
        report: as many as were asked for, where the API may not have kept them all. A check that does not pass yet is
        no failure, whatever its `grace_period`: `timeout` alone ends the wait.

        The API has no wait for checks, so the machine is looked at once a second: by itself, or, with more than 32
        waited on in one app, by one list for all. Raises as `wait` does.
        """
        if timeout <= 0:
            raise InvalidInput(f"timeout is {timeout!r}, but must be a number of seconds above 0")
        return await self._waits.until_healthy(
            app, machine_id, timeout=timeout, just_created=just_created, version=version, checks=checks
        )

    async def wait_once(
        self,
        app: str,
        machine_id: str,
        *,
        state: str = "started",
        version: str | None = None,
        from_event_id: str | None = None,
        timeout: float = 60.0,
    ) -> WaitResult:
        """Wait by one request, as the API offers it: for 1 to 60 seconds.

        Raises TimedOut when the time is up. `wait` is the one to use, unless you need `from_event_id`: then only what
        happened after that event counts, and the answer names the next one to pass.
        """
        if not 1 <= timeout <= 60:  # noqa: PLR2004 - the API's own bounds
            raise InvalidInput(f"timeout is {timeout!r}, but the API holds a wait for 1 to 60 seconds: use wait()")
        query = {
            "state": state,
            "version": version,
            "from_event_id": from_event_id,
            "timeout": int(timeout),
        }
        ask = request(
            "machines.wait",
            app,
            machine_id,
            to="GET apps/{}/machines/{}/wait",
            repeat=Repeat.UNSENT,  # whoever waits asks again anyway, with what is left of the time
            query=query,
            poll=timeout,
        )
        return await self._caller.read(ask, WaitResult)

    async def events(self, app: str, machine_id: str, *, limit: int | None = None) -> tuple[MachineEvent, ...]:
        """List what happened to the machine, newest first: the last 20, or up to `limit`, which is at most 50."""
        ask = request(
            "machines.events",
            app,
            machine_id,
            to="GET apps/{}/machines/{}/events",
            repeat=Repeat.ANYTIME,
            query={"limit": limit},
        )
        return await self._caller.read(ask, tuple[MachineEvent, ...])

    async def versions(self, app: str, machine_id: str) -> tuple[MachineVersion, ...]:
        """List the configs that the machine has had."""
        ask = request(
            "machines.versions", app, machine_id, to="GET apps/{}/machines/{}/versions", repeat=Repeat.ANYTIME
        )
        return await self._caller.read(ask, tuple[MachineVersion, ...])

    async def _survey(self, app: str, *, detail: Detail) -> tuple[Machine, ...]:
        """List an app's machines, with as much of each as waits need."""
        ask = request(
            "machines.list",
            app,
            to="GET apps/{}/machines",
            repeat=Repeat.ANYTIME,
            query={"summary": True if detail == "states" else None},
        )
        return await self._caller.read(ask, tuple[Machine, ...], pick=None if detail == "checks" else _without_config)

    async def _poll(self, app: str, machine_id: str, state: str, version: str | None, timeout: float) -> WaitResult:
        return await self.wait_once(app, machine_id, state=state, version=version, timeout=timeout)


def _without_config(machines: Any) -> Any:
    return [_told(machine) if isinstance(machine, dict) else machine for machine in machines]


def _told(machine: dict[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in machine.items() if key not in _SILENT}
