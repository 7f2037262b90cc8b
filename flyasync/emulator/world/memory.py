"""The memory of a running machine: how much it may use, within what its guest allows."""

from flyasync.emulator.core.errors import bad_request
from flyasync.emulator.core.lifecycle import must_act
from flyasync.emulator.core.records import MachineRecord

# As if every machine used this much.
_USED_MB = 56


def limit(machine: MachineRecord) -> int:
    """Return the present limit in MB."""
    # Only a running machine has memory to speak of; the rule is that of exec.
    must_act("exec", machine.state)
    return machine.memory_limit_mb or int(machine.config["guest"]["memory_mb"])


def available(machine: MachineRecord) -> int:
    """Return what is left below the limit in MB."""
    return limit(machine) - _USED_MB


def set_limit(machine: MachineRecord, limit_mb: int) -> None:
    """Change the limit, to at most `guest.max_memory_mb` or else the memory the machine was made with."""
    must_act("exec", machine.state)
    guest = machine.config["guest"]
    most = guest.get("max_memory_mb") or guest["memory_mb"]
    if not _USED_MB < limit_mb <= most:
        raise bad_request(f"limit_mb must be between {_USED_MB + 1} and {most}")
    machine.memory_limit_mb = limit_mb


def reclaim(machine: MachineRecord, amount_mb: int | None) -> int:
    """Reclaim as much of the amount, by default of all, as is not used; return how many MB that was."""
    most = available(machine)
    if amount_mb is not None and amount_mb < 0:
        raise bad_request(f"invalid amount_mb: {amount_mb}")
    return most if amount_mb is None else min(amount_mb, most)
