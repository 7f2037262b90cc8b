"""Whether the memory fits the CPUs. A zero means unset, as in Go."""

from collections.abc import Iterator, Mapping
from typing import Final, NamedTuple

from flyasync.models.guest import PRESETS, Guest
from flyasync.models.lint.finding import Finding, warning

_SMALLEST_WITH_GPU: Final = PRESETS["performance-8x"]
# The API may accept smaller steps than documented for performance CPUs, so those are only a warning.
_STEP_MB: Final = 256


class _Kind(NamedTuple):
    """The CPU counts and memory sizes of a kind of CPU; memory is in megabytes, in steps of `step_mb` (Fly's docs)."""

    cpus: tuple[int, ...]
    step_mb: int
    least_mb_per_cpu: int
    most_mb_per_cpu: int

    def near(self, memory_mb: int, cpus: int) -> int:
        """Return the valid memory size that is nearest to `memory_mb`."""
        steps = round(memory_mb / self.step_mb) * self.step_mb
        return min(max(steps, cpus * self.least_mb_per_cpu), cpus * self.most_mb_per_cpu)


# As in machines/api/machines-resource in Fly's docs.
_KINDS: Final[Mapping[str, _Kind]] = {
    "shared": _Kind((1, 2, 4, 6, 8), _STEP_MB, 256, 2048),
    "performance": _Kind((1, 2, 4, 6, 8, 10, 12, 14, 16, 32, 64, 128), 1024, 2048, 8192),
}


def check_guest(guest: Guest) -> Iterator[Finding]:
    """Check that the memory fits the CPUs; a kind of CPU that is not known here is left to the API."""
    rules, cpus = _KINDS.get(_cpu_kind(guest)), _cpus(guest)
    if rules is None:
        return
    if cpus not in rules.cpus:
        allowed = ", ".join(map(str, rules.cpus))
        yield Finding(
            "guest-cpus", "guest.cpus", f"{cpus} is not a valid number of {_cpu_kind(guest)} cpus", f"use {allowed}"
        )
        return
    memory_mb, least, most = guest.memory_mb or 0, cpus * rules.least_mb_per_cpu, cpus * rules.most_mb_per_cpu
    if memory_mb and (not least <= memory_mb <= most or memory_mb % _STEP_MB):
        message = (
            f"{memory_mb} MB does not fit {cpus} cpus of this kind: {least} to {most}, in steps of {rules.step_mb}"
        )
        yield Finding("guest-memory", "guest.memory_mb", message, f"use {rules.near(memory_mb, cpus)}")
    if guest.max_memory_mb and memory_mb and guest.max_memory_mb < memory_mb:
        message = f"{guest.max_memory_mb} MB is less than memory_mb ({memory_mb} MB)"
        yield Finding("guest-ceiling", "guest.max_memory_mb", message, "raise it, or remove it")


def warn_of_guest(guest: Guest) -> Iterator[Finding]:
    """Warn of memory in smaller steps than documented, which the API may accept."""
    rules, cpus, memory_mb = _KINDS.get(_cpu_kind(guest)), _cpus(guest), guest.memory_mb or 0
    if rules is not None and memory_mb % rules.step_mb and not any(check_guest(guest)):
        message = f"{memory_mb} MB is not a multiple of {rules.step_mb} MB, as documented for this kind of cpu"
        yield warning("guest-step", "guest.memory_mb", message, f"use {rules.near(memory_mb, cpus)}")


# The API's default if nothing is set: the smallest size, which is larger with a GPU.


def _cpu_kind(guest: Guest) -> str:
    return guest.cpu_kind or (_SMALLEST_WITH_GPU.cpu_kind if guest.gpu_kind else "shared")


def _cpus(guest: Guest) -> int:
    return guest.cpus or (_SMALLEST_WITH_GPU.cpus if guest.gpu_kind else 1)
