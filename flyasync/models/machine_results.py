"""What comes of acting on a machine."""

from collections.abc import Sequence

from attrs import field, frozen

from flyasync.models.config import MachineConfig
from flyasync.models.model import Model, settled


@frozen(kw_only=True, repr=False, field_transformer=settled)
class StartResult(Model):
    """The answer to a start; `previous_state` is the state it was started from, `status` may be `error`."""

    previous_state: str | None = None
    migrated: bool | None = None
    new_host: str | None = None
    status: str | None = None
    message: str | None = None


@frozen(kw_only=True, repr=False, field_transformer=settled)
class WaitResult(Model):
    """The answer to a wait that succeeded; give `event_id` to the next wait to miss nothing in between."""

    ok: bool | None = None
    event_id: str | None = None
    state: str | None = None
    version: str | None = None


@frozen(kw_only=True, repr=False, field_transformer=settled)
class MachineVersion(Model):
    """A version that a machine has or had, with the config it was asked for."""

    version: str
    user_config: MachineConfig | None = None


@frozen(kw_only=True, repr=False, field_transformer=settled)
class ExecResult(Model):
    """What a command run in a machine said and how it ended; a failing one is an answer, not an error.

    `stdout` and `stderr` may hold anything, secrets too, so the repr leaves them out.
    """

    exit_code: int | None = None
    exit_signal: int | None = None
    stdout: str | None = field(default=None, repr=False)
    stderr: str | None = field(default=None, repr=False)

    @property
    def succeeded(self) -> bool:
        """Whether the command ended with 0 and by no signal."""
        # The API may leave out a zero; a signal of -1 is none, as in exit events.
        return not self.exit_code and (self.exit_signal or 0) <= 0


@frozen(kw_only=True, repr=False, field_transformer=settled)
class ListenSocket(Model):
    """A socket that a process listens on, such as `tcp` at `[::]:8080`."""

    proto: str | None = None
    address: str | None = None


@frozen(kw_only=True, repr=False, field_transformer=settled)
class ProcessStat(Model):
    """A process of a running machine, as `ps` shows it."""

    pid: int | None = None
    stime: int | None = None
    rtime: int | None = None
    command: str | None = None
    directory: str | None = None
    cpu: int | None = None
    rss: int | None = None
    listen_sockets: Sequence[ListenSocket] | None = None


@frozen(kw_only=True, repr=False, field_transformer=settled)
class Memory(Model):
    """A running machine's memory limit and what is free of it, in megabytes."""

    limit_mb: int | None = None
    available_mb: int | None = None


@frozen(kw_only=True, repr=False, field_transformer=settled)
class ReclaimedMemory(Model):
    """How much memory a running machine gave back, in megabytes."""

    actual_mb: int | None = None


@frozen(kw_only=True, repr=False, field_transformer=settled)
class MetadataValue(Model):
    """One value of a machine's metadata."""

    value: str | None = None
