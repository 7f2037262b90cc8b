"""Whether memory fits the CPUs."""

from collections.abc import Iterator, Mapping
from typing import Final, NamedTuple

from flyasync.models.finding import Finding
from flyasync.models.guest import Guest


class _Kind(NamedTuple):
    """What a kind of CPU allows; memory is in megabytes."""

    cpus: tuple[int, ...]
    step_mb: int
    least_mb_per_cpu: int
    most_mb_per_cpu: int


_KINDS: Final[Mapping[str, _Kind]] = {
    "shared": _Kind((1, 2, 4, 6, 8), 256, 256, 2048),
    "performance": _Kind((1, 2, 4, 6, 8, 10, 12, 14, 16, 32, 64, 128), 1024, 2048, 8192),
}


def check_guest(guest: Guest) -> Iterator[Finding]:
    """Check that the memory fits the CPUs; a kind of CPU that is not known here is left to the API."""
    rules = _KINDS.get(_cpu_kind(guest))
    if rules is None:
        return
    cpus = 1 if guest.cpus is None else guest.cpus
    if cpus not in rules.cpus:
        allowed = ", ".join(map(str, rules.cpus))
        yield Finding("guest-cpus", "guest.cpus", f"{_cpu_kind(guest)} cpus do not come in {cpus}", f"take {allowed}")
        return
    for name, memory_mb in (("memory_mb", guest.memory_mb), ("max_memory_mb", guest.max_memory_mb)):
        if memory_mb is not None:
            yield from _check_memory(f"guest.{name}", memory_mb, cpus, rules)
    yield from _check_ceiling(guest)


def _cpu_kind(guest: Guest) -> str:
    return guest.cpu_kind or ("performance" if guest.gpu_kind else "shared")


def _check_memory(path: str, memory_mb: int, cpus: int, rules: _Kind) -> Iterator[Finding]:
    least, most = cpus * rules.least_mb_per_cpu, cpus * rules.most_mb_per_cpu
    if not least <= memory_mb <= most or memory_mb % rules.step_mb:
        near = min(max(round(memory_mb / rules.step_mb) * rules.step_mb, least), most)
        yield Finding(
            "guest-memory",
            path,
            f"{memory_mb} MB does not fit {cpus} cpus of this kind: {least} to {most}, in steps of {rules.step_mb}",
            f"take {near}",
        )


def _check_ceiling(guest: Guest) -> Iterator[Finding]:
    if guest.max_memory_mb is not None and guest.memory_mb is not None and guest.max_memory_mb < guest.memory_mb:
        yield Finding(
            "guest-ceiling",
            "guest.max_memory_mb",
            f"{guest.max_memory_mb} MB is less than memory_mb, {guest.memory_mb}",
            "raise it or leave it out",
        )
