"""The results of actions on a machine."""

from collections.abc import Sequence

from attrs import field, frozen

from flyasync.models.config import MachineConfig
from flyasync.models.model import Model, settled


@frozen(kw_only=True, repr=False, field_transformer=settled)
class StartResult(Model):
    """The result of a start. `previous_state` is the state before it; `status` may be `error`."""

    previous_state: str | None = None
    migrated: bool | None = None
    new_host: str | None = None
    status: str | None = None
    message: str | None = None


@frozen(kw_only=True, repr=False, field_transformer=settled)
class WaitResult(Model):
    """The result of a wait that succeeded. Pass `event_id` to the next wait so that it misses no event."""

    ok: bool | None = None
    event_id: str | None = None
    state: str | None = None
    version: str | None = None


@frozen(kw_only=True, repr=False, field_transformer=settled)
class MachineVersion(Model):
    """A current or former version of a machine, with the config as the user sent it."""

    version: str
    user_config: MachineConfig | None = None


@frozen(kw_only=True, repr=False, field_transformer=settled)
class ExecResult(Model):
    """The output and exit code of a command run in a machine. A failed command is a result, not an error.

    The repr does not show `stdout` and `stderr`, which may contain secrets.
    """

    exit_code: int | None = None
    exit_signal: int | None = None
    stdout: str | None = field(default=None, repr=False)
    stderr: str | None = field(default=None, repr=False)

    @property
    def succeeded(self) -> bool:
        """Whether the command ended with exit code 0, and not by a signal."""
        # The API may omit a zero; as in exit events, a signal of -1 means none.
        return not self.exit_code and (self.exit_signal or 0) <= 0


@frozen(kw_only=True, repr=False, field_transformer=settled)
class ListenSocket(Model):
    """A socket that a process listens on, such as `tcp` at `[::]:8080`."""

    proto: str | None = None
    address: str | None = None


@frozen(kw_only=True, repr=False, field_transformer=settled)
class ProcessStat(Model):
    """A process of a running machine, as returned by `ps`."""

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
    """The memory limit and the available memory of a running machine, in megabytes."""

    limit_mb: int | None = None
    available_mb: int | None = None


@frozen(kw_only=True, repr=False, field_transformer=settled)
class ReclaimedMemory(Model):
    """The memory reclaimed from a running machine, in megabytes."""

    actual_mb: int | None = None


@frozen(kw_only=True, repr=False, field_transformer=settled)
class MetadataValue(Model):
    """One value of a machine's metadata."""

    value: str | None = None
