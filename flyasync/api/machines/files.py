"""Copy files into and out of a machine, over commands that run in it."""

import base64
import shlex
from collections.abc import Awaitable, Callable, Iterator, Sequence
from typing import Final

from attrs import frozen

from flyasync.errors import FileNotCopied, InvalidInput
from flyasync.models.machine_results import ExecResult

CHUNK: Final = 48 * 1024
"""Bytes of a file in one request: 64 KiB of base64, which fits in a command's argument on Linux (128 KiB)."""

LARGEST_FILE: Final = 16 * 1024 * 1024
"""Bytes of the largest file that is copied: over 300 requests at the rate of one exec a second."""


@frozen
class MachineFiles:
    """The files of one machine, whose image needs `sh`, `base64` and `dd`."""

    machine_id: str
    _exec: Callable[[Sequence[str]], Awaitable[ExecResult]]

    async def write(self, path: str, content: bytes) -> None:
        """Write a file, which appears under its name when it is complete."""
        if len(content) > LARGEST_FILE:
            raise InvalidInput(
                f"the file has {len(content)} bytes, but at most {LARGEST_FILE} can be copied: use a volume"
            )
        part, name = shlex.quote(f"{path}.part"), shlex.quote(path)
        redirect = ">"
        for chunk in _chunks(content):
            text = base64.b64encode(chunk).decode()
            await self._run(path, f"echo {text} | base64 -d {redirect} {part}")
            redirect = ">>"
        await self._run(path, f"mv {part} {name}")

    async def read(self, path: str) -> bytes:
        """Read a file."""
        name, content = shlex.quote(path), b""
        while len(content) <= LARGEST_FILE:
            skip = len(content) // CHUNK
            result = await self._run(
                path, f"test -f {name} && dd if={name} bs={CHUNK} skip={skip} count=1 2>/dev/null | base64"
            )
            chunk = base64.b64decode(result.stdout or "")
            content += chunk
            if len(chunk) < CHUNK:
                return content
        raise InvalidInput(
            f"{path} has more than {LARGEST_FILE} bytes, which is the most that can be copied: use a volume"
        )

    async def _run(self, path: str, script: str) -> ExecResult:
        result = await self._exec(["sh", "-c", script])
        if result.exit_code:
            raise FileNotCopied(self.machine_id, path, result.exit_code, result.stderr or "")
        return result


def _chunks(content: bytes) -> Iterator[bytes]:
    """Yield the parts of a file; one empty part for an empty file."""
    yield from (content[start : start + CHUNK] for start in range(0, len(content) or 1, CHUNK))
