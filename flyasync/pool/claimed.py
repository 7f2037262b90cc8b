"""A claimed machine, as its holder sees it: where it is, and commands and files inside it."""

import base64
import shlex
from collections.abc import Iterator, Sequence

from attrs import frozen

from flyasync.api.client import FlyClient
from flyasync.errors import FileNotCopied, InvalidInput
from flyasync.models.machine import Machine
from flyasync.models.machine_results import ExecResult

CHUNK = 48 * 1024
"""Bytes of a file in one request: 64 KiB of base64, which fits in a command's argument on Linux (128 KiB)."""

LARGEST_FILE = 16 * 1024 * 1024
"""Bytes of the largest file that is copied: over 300 requests at the rate of one exec a second."""


@frozen
class ClaimedMachine:
    """A machine that this claim holds until its block ends."""

    _fly: FlyClient
    app: str
    key: str
    machine: Machine
    """The machine as read when the claim began; it was started, and its checks passed."""

    @property
    def id(self) -> str:
        """The machine's id."""
        return self.machine.id

    @property
    def region(self) -> str:
        """The code of its region."""
        return self.machine.region

    def private_url(self, port: int) -> str:
        """Return the URL of a port of the machine in the organization's private network."""
        return self.machine.private_url(port)

    async def exec(self, command: Sequence[str] | str, *, timeout: float | None = None) -> ExecResult:
        """Run a command in the machine, as `fly.machines.exec` does: one response, whose output does not stream."""
        return await self._fly.machines.exec(self.app, self.id, command, timeout=timeout)

    async def write_file(self, path: str, content: bytes) -> None:
        """Write a file in the machine, over `sh` and `base64`, which its image needs.

        48 KiB take one request, at one request a second after the first three; up to 16 MiB. The file appears under its
        name when it is complete. If cancelled, or after an error, `PATH.part` may be left.

        Raises InvalidInput for a larger file, FileNotCopied if a command fails, and what `exec` raises.
        """
        if len(content) > LARGEST_FILE:
            raise InvalidInput(
                f"the file has {len(content)} bytes, but at most {LARGEST_FILE} can be copied: use a volume"
            )
        part, name = shlex.quote(f"{path}.part"), shlex.quote(path)
        redirect = ">"
        for chunk in _chunks(content):
            text = base64.b64encode(chunk).decode()
            await self._run(path, f"printf %s {text} | base64 -d {redirect} {part}")
            redirect = ">>"
        await self._run(path, f"mv {part} {name}")

    async def read_file(self, path: str) -> bytes:
        """Read a file of the machine, over `sh`, `dd` and `base64`, which its image needs.

        48 KiB take one request, at one request a second after the first three; up to 16 MiB. A file that changes
        meanwhile may be returned in parts of both versions.

        Raises InvalidInput for a larger file, FileNotCopied if there is none, and what `exec` raises.
        """
        name, content = shlex.quote(path), b""
        while len(content) <= LARGEST_FILE:
            skip = len(content) // CHUNK
            result = await self._run(
                path, f"dd if={name} bs={CHUNK} skip={skip} count=1 2>/dev/null | base64; test -r {name}"
            )
            chunk = base64.b64decode(result.stdout or "")
            content += chunk
            if len(chunk) < CHUNK:
                return content
        raise InvalidInput(
            f"{path} has more than {LARGEST_FILE} bytes, which is the most that can be copied: use a volume"
        )

    async def _run(self, path: str, script: str) -> ExecResult:
        result = await self.exec(["sh", "-c", script])
        if result.exit_code:
            raise FileNotCopied(self.id, path, result.exit_code, result.stderr or "")
        return result


def _chunks(content: bytes) -> Iterator[bytes]:
    """Yield the parts of a file; one empty part for an empty file."""
    yield from (content[start : start + CHUNK] for start in range(0, len(content) or 1, CHUNK))
