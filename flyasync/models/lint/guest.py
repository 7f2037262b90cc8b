"""Whether memory fits the CPUs. A zero is unset, as in Go."""

from collections.abc import Iterator, Mapping
from typing import Final, NamedTuple

from flyasync.models.guest import PRESETS, Guest
from flyasync.models.lint.finding import Finding, warning

_SMALLEST_WITH_GPU: Final = PRESETS["performance-8x"]
# The API may take smaller steps than the documented one of performance CPUs; those are a warning.
_STEP_MB: Final = 256


class _Kind(NamedTuple):
    """What a kind of CPU allows; memory is in megabytes, in steps of `step_mb` according to Fly's docs."""

    cpus: tuple[int, ...]
    step_mb: int
    least_mb_per_cpu: int
    most_mb_per_cpu: int

    def near(self, memory_mb: int, cpus: int) -> int:
        """Return the memory that fits, nearest to `memory_mb`."""
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
        yield Finding("guest-cpus", "guest.cpus", f"{_cpu_kind(guest)} cpus do not come in {cpus}", f"take {allowed}")
        return
    memory_mb, least, most = guest.memory_mb or 0, cpus * rules.least_mb_per_cpu, cpus * rules.most_mb_per_cpu
    if memory_mb and (not least <= memory_mb <= most or memory_mb % _STEP_MB):
        message = (
            f"{memory_mb} MB does not fit {cpus} cpus of this kind: {least} to {most}, in steps of {rules.step_mb}"
        )
        yield Finding("guest-memory", "guest.memory_mb", message, f"take {rules.near(memory_mb, cpus)}")
    if guest.max_memory_mb and memory_mb and guest.max_memory_mb < memory_mb:
        message = f"{guest.max_memory_mb} MB is less than memory_mb, {memory_mb}"
        yield Finding("guest-ceiling", "guest.max_memory_mb", message, "raise it or leave it out")


def warn_of_guest(guest: Guest) -> Iterator[Finding]:
    """Warn of memory in steps that are smaller than the documents allow, but that the API may take."""
    rules, cpus, memory_mb = _KINDS.get(_cpu_kind(guest)), _cpus(guest), guest.memory_mb or 0
    if rules is not None and memory_mb % rules.step_mb and not any(check_guest(guest)):
        message = f"{memory_mb} MB is no multiple of {rules.step_mb}, as this kind of cpu should have it"
        yield warning("guest-step", "guest.memory_mb", message, f"take {rules.near(memory_mb, cpus)}")


# What the API assumes where nothing is set: the smallest size, which is larger with a GPU.


def _cpu_kind(guest: Guest) -> str:
    return guest.cpu_kind or (_SMALLEST_WITH_GPU.cpu_kind if guest.gpu_kind else "shared")


def _cpus(guest: Guest) -> int:
    return guest.cpus or (_SMALLEST_WITH_GPU.cpus if guest.gpu_kind else 1)
