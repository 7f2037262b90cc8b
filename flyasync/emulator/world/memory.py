"""The memory limit of a running machine, within the bounds of its guest."""

from flyasync.emulator.core.errors import bad_request
from flyasync.emulator.core.lifecycle import must_act
from flyasync.emulator.core.records import MachineRecord

# The assumed memory use of every machine.
_USED_MB = 56


def limit(machine: MachineRecord) -> int:
    """Return the present limit in MB."""
    # Only a running machine has memory; the same rule as for exec.
    must_act("exec", machine.state)
    return machine.memory_limit_mb or int(machine.config["guest"]["memory_mb"])


def available(machine: MachineRecord) -> int:
    """Return the free memory in MB."""
    return limit(machine) - _USED_MB


def set_limit(machine: MachineRecord, limit_mb: int) -> None:
    """Change the limit, to at most `guest.max_memory_mb` or the memory of the config."""
    must_act("exec", machine.state)
    guest = machine.config["guest"]
    most = guest.get("max_memory_mb") or guest["memory_mb"]
    if not _USED_MB < limit_mb <= most:
        raise bad_request(f"limit_mb must be between {_USED_MB + 1} and {most}")
    machine.memory_limit_mb = limit_mb


def reclaim(machine: MachineRecord, amount_mb: int | None) -> int:
    """Reclaim up to `amount` MB of unused memory, by default all of it; return the reclaimed MB."""
    most = available(machine)
    if amount_mb is not None and amount_mb < 0:
        raise bad_request(f"invalid amount_mb: {amount_mb}")
    return most if amount_mb is None else min(amount_mb, most)
