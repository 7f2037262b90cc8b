"""What the processes of a benchmark use of the machine; it reads /proc, so it takes Linux."""

import asyncio
import gc
import os
import resource
import sys
from collections import defaultdict
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from types import BuiltinFunctionType, CodeType, FunctionType, ModuleType

from attrs import define, field, frozen

LOOK_EVERY = 0.25
"""Seconds between two looks at what processes use."""
_TICK = os.sysconf("SC_CLK_TCK")


def resident() -> int:
    """Return the bytes of memory that this process holds."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * resource.getpagesize()


def sockets() -> int:
    """Count the sockets that this process has open, asyncio's own included."""
    count = 0
    for each in Path("/proc/self/fd").iterdir():
        with suppress(FileNotFoundError):  # the directory that is read here is one of them, and closed by now
            count += str(each.readlink()).startswith("socket:")
    return count


def reachable(*roots: object) -> int:
    """Return the bytes of all objects that can be reached from these, without classes, modules, code and the loop."""
    shared = (type, ModuleType, FunctionType, BuiltinFunctionType, CodeType, asyncio.AbstractEventLoop)
    seen: set[int] = set()
    left, total = list(roots), 0
    while left:
        each = left.pop()
        if id(each) not in seen and not isinstance(each, shared):
            seen.add(id(each))
            total += sys.getsizeof(each)
            left += gc.get_referents(each)
    return total


@define(eq=False)
class Gauge:
    """What a process has used, seconds of CPU and the most memory; of one that has ended that is the last look."""

    name: str
    pid: int
    cpu: float = 0.0
    peak_mb: float = 0.0

    def look(self) -> None:
        with suppress(OSError, ValueError, IndexError):  # it may just have ended
            fields = Path(f"/proc/{self.pid}/stat").read_text().rpartition(")")[2].split()
            status = Path(f"/proc/{self.pid}/status").read_text()
            self.cpu = (int(fields[11]) + int(fields[12])) / _TICK
            self.peak_mb = int(status.split("VmHWM:")[1].split()[0]) / 1024


def _busy() -> float:
    """Return the seconds for which the CPUs of this machine have been busy since it began, all taken together."""
    user, nice, system, _, _, irq, softirq, *_ = map(int, Path("/proc/stat").read_text().split("\n")[0].split()[1:])
    return (user + nice + system + irq + softirq) / _TICK


@frozen
class Usage:
    """What a stretch of time used: seconds of CPU under each name, and on this host in all, others' work included."""

    seconds: float
    cpu: Mapping[str, float]
    host: float

    def each(self, count: int) -> str:
        """Describe how many milliseconds of CPU each of so many apps took, and whose."""
        by_name = ", ".join(f"{name} {1000 * spent / count:.1f}" for name, spent in self.cpu.items())
        return f"{1000 * sum(self.cpu.values()) / count:.1f}: {by_name}"

    @property
    def busy(self) -> str:
        """How many CPUs were busy with it, and with everything."""
        own, host = sum(self.cpu.values()) / self.seconds, self.host / self.seconds
        return f"{own:.2f} with this and {host - own:.2f} with other work, of {os.cpu_count()}"


@define(eq=False)
class Meter:
    """Measures what processes use from its making on; those that are added later count from their start."""

    gauges: list[Gauge]
    _before: dict[int, float] = field(init=False)
    _began: float = field(factory=lambda: asyncio.get_running_loop().time(), init=False)
    _busy: float = field(factory=_busy, init=False)

    def __attrs_post_init__(self) -> None:
        self._look()
        self._before = {gauge.pid: gauge.cpu for gauge in self.gauges}

    def _look(self) -> None:
        for gauge in self.gauges:
            gauge.look()

    @asynccontextmanager
    async def watching(self) -> AsyncIterator[None]:
        """Look again and again until the block ends, for those that end meanwhile."""

        async def watch() -> None:
            while True:
                self._look()
                await asyncio.sleep(LOOK_EVERY)

        task = asyncio.create_task(watch())
        try:
            yield
        finally:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)

    def read(self) -> Usage:
        """Return what was used so far, processes of one name taken together."""
        self._look()
        cpu: defaultdict[str, float] = defaultdict(float)
        for gauge in self.gauges:
            cpu[gauge.name] += gauge.cpu - self._before.get(gauge.pid, 0.0)
        return Usage(asyncio.get_running_loop().time() - self._began, cpu, _busy() - self._busy)

    def peaks(self) -> dict[str, float]:
        """Return the most memory that any process of each name has held, in MB."""
        peaks: defaultdict[str, float] = defaultdict(float)
        for gauge in self.gauges:
            peaks[gauge.name] = max(peaks[gauge.name], gauge.peak_mb)
        return peaks
