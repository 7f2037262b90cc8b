"""A claimed machine, as its holder sees it: where it is, and commands and files inside it."""

from collections.abc import Sequence

from attrs import frozen

from flyasync.api.client import FlyClient
from flyasync.api.machines.files import MachineFiles
from flyasync.models.machine import Machine
from flyasync.models.machine_results import ExecResult


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
        await MachineFiles(self.id, self.exec).write(path, content)

    async def read_file(self, path: str) -> bytes:
        """Read a file of the machine, over `sh`, `dd` and `base64`, which its image needs.

        48 KiB take one request, at one request a second after the first three; up to 16 MiB. A file that changes
        meanwhile may be returned in parts of both versions.

        Raises InvalidInput for a larger file, FileNotCopied if there is none, and what `exec` raises.
        """
        return await MachineFiles(self.id, self.exec).read(path)
