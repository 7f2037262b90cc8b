"""Runs a shell command in a process group of its own, none of which outlives the run."""

import asyncio
import math
import os
import signal
from collections.abc import Mapping
from contextlib import suppress

from attrs import define, frozen

GRACE = 5.0
"""Seconds that the processes of a command have to end after SIGTERM, before SIGKILL."""

POLL_EVERY = 0.05
"""Seconds between two checks of whether all processes of a command have ended."""

LAST_MOMENT = 1.0
"""Seconds that killed processes may take to end."""

NONE = 0
"""The signal that only shows whether there is a process."""

KEPT = 64 * 1024
"""How many of the last bytes of a command's output are kept."""


@frozen
class CommandEnd:
    """How a command ended: its exit status, None if it took too long, and the end of its output.

    A negative status is the number of the signal that ended it.
    """

    status: int | None
    output: str


@define(eq=False)
class _Tail:
    """The end of what is written into a pipe; the rest is read and discarded, so that no writer ever waits."""

    fd: int
    kept: bytes = b""
    is_cut: bool = False
    is_over: bool = False

    def read(self) -> None:
        """Read all that the pipe has now."""
        with suppress(BlockingIOError):
            while chunk := os.read(self.fd, KEPT):
                self.is_cut |= len(self.kept) + len(chunk) > KEPT
                self.kept = (self.kept + chunk)[-KEPT:]
            self.is_over = True  # all writers have ended
            asyncio.get_running_loop().remove_reader(self.fd)

    def text(self) -> str:
        """Return what was kept; its first line is left out if it lacks its beginning."""
        text = self.kept.decode(errors="replace")
        return text.partition("\n")[2] if self.is_cut else text


async def run_command(command: str, *, env: Mapping[str, str], timeout: float, grace: float = GRACE) -> CommandEnd:
    """Run a command line in `/bin/sh`, without input; raises OSError if it cannot be started.

    When it ends, after `timeout` seconds, and when cancelled, every process of its group is terminated: by SIGTERM, and
    by SIGKILL if it has not ended `grace` seconds later. A process that has made a group of its own is not found.
    """
    loop = asyncio.get_running_loop()
    # A pipe of our own: with one of asyncio's, a process in the background that holds it would delay the end.
    reading, writing = os.pipe()
    os.set_blocking(reading, False)
    tail = _Tail(reading)
    loop.add_reader(reading, tail.read)
    # A task of its own: if a cancellation reached a process that is being started, its children would not be ended.
    starting = asyncio.ensure_future(
        asyncio.create_subprocess_shell(
            command,
            stdin=asyncio.subprocess.DEVNULL,
            stdout=writing,
            stderr=writing,
            env=dict(env),
            start_new_session=True,
        )
    )
    starting.add_done_callback(lambda _: os.close(writing))
    status: int | None = None
    try:
        try:
            with suppress(TimeoutError):
                async with asyncio.timeout(timeout):
                    await asyncio.wait([starting])
                    status = await starting.result().wait()
        finally:
            await _end_group(await starting, tail, grace)
        tail.read()
    finally:
        loop.remove_reader(reading)
        os.close(reading)
    return CommandEnd(status, tail.text())


async def _end_group(process: asyncio.subprocess.Process, tail: _Tail, grace: float) -> None:
    """End all processes of a group, whose leader is `process`; a cancellation kills them at once."""
    try:
        if _signalled(process.pid, signal.SIGTERM):
            await _until_gone(process.pid, tail, grace)
    finally:
        is_killed = _signalled(process.pid, signal.SIGKILL)
    await process.wait()
    if is_killed:
        await _until_gone(process.pid, tail, LAST_MOMENT)


async def _until_gone(group: int, tail: _Tail, seconds: float) -> None:
    """Wait until all processes of a group have ended, or for some seconds."""
    for _ in range(math.ceil(seconds / POLL_EVERY)):
        # A process that has ended may be listed until its parent, now that of all orphans, has noticed that. So the end
        # of the output counts too.
        if tail.is_over or not _signalled(group, NONE):
            return
        await asyncio.sleep(POLL_EVERY)


def _signalled(group: int, number: int) -> bool:
    """Send a signal to all processes of a group; return whether there are any."""
    try:
        os.killpg(group, number)
    except (ProcessLookupError, PermissionError):  # macOS refuses to signal a group of which only zombies are left
        return False
    return True
