"""What a deploy uses before and after: machines, CPUs, memory and volumes, as far as they are known; pure."""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from typing import Self

from attrs import field, frozen

from flyasync.errors import InvalidInput
from flyasync.models.config import MachineConfig
from flyasync.models.guest import Guest

UNSTATED_KIND = "unstated"
"""The kind of CPUs whose config does not state their kind, so that the API chooses it."""


@frozen(kw_only=True)
class Resources:
    """Some machines and volumes: the CPUs by kind, the memory in MB, and the size of all volumes in GB.

    `unknown_guests` is the number of machines whose config could not be observed, and `default_guests` that of machines
    whose config leaves the CPUs or the memory to the API; what is not known is not in the sums. `unknown_volumes` is
    the number of volumes whose size is not known.
    """

    machines: int = 0
    cpus: Mapping[str, int] = field(factory=dict)
    memory_mb: int = 0
    volumes: int = 0
    volume_gb: int = 0
    unknown_guests: int = 0
    default_guests: int = 0
    unknown_volumes: int = 0

    @classmethod
    def of(cls, configs: Iterable[MachineConfig | None], volumes: Iterable[int | None]) -> Self:
        """Return the sum of machines with these configs, and of volumes of these sizes; None for what is unknown."""
        known, sizes = list(configs), list(volumes)
        guests = [_guest(config) for config in known if config is not None]
        cpus: Counter[str] = Counter()
        for guest in guests:
            if guest.cpus:
                cpus[guest.cpu_kind or UNSTATED_KIND] += guest.cpus
        return cls(
            machines=len(known),
            cpus=dict(sorted(cpus.items(), reverse=True)),
            memory_mb=sum(guest.memory_mb or 0 for guest in guests),
            volumes=len(sizes),
            volume_gb=sum(size or 0 for size in sizes),
            unknown_guests=known.count(None),
            default_guests=sum(guest.cpus is None or guest.memory_mb is None for guest in guests),
            unknown_volumes=sizes.count(None),
        )

    def __str__(self) -> str:
        return ", ".join(self._parts())

    def _parts(self) -> Iterator[str]:
        yield _counted(self.machines, "machine")
        for kind, count in self.cpus.items():
            yield _counted(count, "CPU" if kind == UNSTATED_KIND else f"{kind} CPU")
        if self.memory_mb:
            yield f"{self.memory_mb} MB of memory"
        for count, what in ((self.default_guests, "left to the API"), (self.unknown_guests, "unknown")):
            if count:
                of = "" if count == self.machines else f" of {_counted(count, 'machine')}"
                yield f"CPUs or memory{of} {what}"
        if self.volumes:
            size = "unknown size" if self.unknown_volumes == self.volumes else f"{self.volume_gb} GB"
            yield f"{_counted(self.volumes, 'volume')} of {size}"
        if 0 < self.unknown_volumes < self.volumes:
            yield f"size of {_counted(self.unknown_volumes, 'volume')} unknown"


@frozen(kw_only=True)
class ResourceChange:
    """The resources before and after a plan, and the largest number of machines that may exist in between."""

    before: Resources
    after: Resources
    peak_machines: int

    def lines(self) -> Iterator[str]:
        """Yield the change as text."""
        if self.before == self.after:
            yield f"before and after: {self.after}"
        else:
            yield f"before: {self.before}"
            yield f"after: {self.after}"
        if self.peak_machines > max(self.before.machines, self.after.machines):
            yield f"in between: up to {_counted(self.peak_machines, 'machine')}"

    def check(self, most: int | None, where: str) -> None:
        """Raise InvalidInput if more machines than `most` would be left; `where` names what they are machines of."""
        if most is not None and self.after.machines > most:
            raise InvalidInput(
                f"{where} would have {_counted(self.after.machines, 'machine')}, but at most {most} may be left "
                f"(now: {self.before.machines})",
                python="lower the counts, or raise max_machines(…)",
                command="lower --count, or raise --max-machines",
            )


def _guest(config: MachineConfig) -> Guest:
    """Return the guest of a config, also of one that names its size."""
    if config.guest is None and config.size:
        try:
            return Guest.of_size(config.size)
        except InvalidInput:  # a size that is newer than this version
            return Guest()
    return config.guest or Guest()


def _counted(count: int, what: str) -> str:
    return f"{count} {what}{'' if count == 1 else 's'}"
