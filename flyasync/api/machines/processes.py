"""What runs inside a machine: its processes, commands run beside them, and its memory."""

import math
from collections.abc import Sequence
from typing import Final

from flyasync.api.resource import Caller, given, request
from flyasync.errors import InvalidInput
from flyasync.models.machine_results import ExecResult, Memory, ProcessStat, ReclaimedMemory
from flyasync.text import hidden
from flyasync.transport.request import Repeat

EXEC_SECONDS: Final = 60.0
"""How long an answer to exec may take when nobody says."""


class Processes:
    """The part of `fly.machines` that looks inside; the machine must be running, or WrongState is raised."""

    _caller: Caller

    async def exec(
        self,
        app: str,
        machine_id: str,
        command: Sequence[str] | str,
        *,
        timeout: float | None = None,
        stdin: str | None = None,
        container: str | None = None,
        machine: bool | None = None,
    ) -> ExecResult:
        """Run a command in a running machine and give what it said and how it ended; failing is an answer, no error.

        `command` is a list of words, or a text that the API splits; neither goes through a shell. `timeout` is in
        seconds, rounded up; the answer is waited for that long, or a minute when it is not given. `container` is for
        machines that have several; `machine` runs it beside all of them. `stdin` has been seen not to arrive.

        Not repeated when the answer is lost. Cancelled, the command may have run, and may run on; closing the client
        cuts it short in the same way.
        """
        command, stdin = hidden(command), hidden(stdin)
        if not command:
            raise InvalidInput("the command is empty: give what to run, such as ['ls', '-l']")
        words = {"cmd": command} if isinstance(command, str) else {"command": list(command)}
        seconds = None if timeout is None else math.ceil(timeout)
        ask = request(
            "machines.exec",
            app,
            machine_id,
            to="POST apps/{}/machines/{}/exec",
            repeat=Repeat.UNSENT,
            body={**words, **given(timeout=seconds, stdin=stdin, container=container, machine=machine)},
            poll=seconds or EXEC_SECONDS,
        )
        return await self._caller.read(ask, ExecResult)

    async def ps(
        self, app: str, machine_id: str, *, sort_by: str | None = None, order: str | None = None
    ) -> tuple[ProcessStat, ...]:
        """List the processes of a running machine, by `sort_by` (such as `cpu` or `rss`) in `order` `asc` or `desc`."""
        ask = request(
            "machines.ps",
            app,
            machine_id,
            to="GET apps/{}/machines/{}/ps",
            repeat=Repeat.ANYTIME,
            query={"sort_by": sort_by, "order": order},
        )
        return await self._caller.read(ask, tuple[ProcessStat, ...])

    async def memory(self, app: str, machine_id: str) -> Memory:
        """Give a running machine's memory limit, and what is free of it, in megabytes."""
        ask = request("machines.memory", app, machine_id, to="GET apps/{}/machines/{}/memory", repeat=Repeat.ANYTIME)
        return await self._caller.read(ask, Memory)

    async def set_memory(self, app: str, machine_id: str, *, limit_mb: int) -> Memory:
        """Change a running machine's memory limit, without a restart, up to its guest's `max_memory_mb`.

        Repeated after a lost answer. Raises BadRequest for more than the machine can have.
        """
        ask = request(
            "machines.set_memory",
            app,
            machine_id,
            to="PUT apps/{}/machines/{}/memory",
            repeat=Repeat.ANYTIME,
            body={"limit_mb": limit_mb},
        )
        return await self._caller.read(ask, Memory)

    async def reclaim_memory(self, app: str, machine_id: str, *, amount_mb: int | None = None) -> int:
        """Have a running machine give back up to `amount_mb` megabytes that it does not use; give how many it did.

        Not repeated when the answer is lost.
        """
        ask = request(
            "machines.reclaim_memory",
            app,
            machine_id,
            to="POST apps/{}/machines/{}/memory/reclaim",
            repeat=Repeat.UNSENT,
            body=given(amount_mb=amount_mb),
        )
        return (await self._caller.read(ask, ReclaimedMemory)).actual_mb or 0
