"""The processes of a benchmark, and what each of them uses of the machine; it reads /proc, so it takes Linux."""

import asyncio
import os
import sys
from asyncio.subprocess import DEVNULL, PIPE
from collections import defaultdict
from collections.abc import AsyncIterator, Iterable, Mapping
from contextlib import asynccontextmanager, suppress
from pathlib import Path

from attrs import define, field, frozen

ROOT = Path(__file__).parents[2]
PATIENCE = 10.0
"""Seconds that a process has to end by itself when it is asked to."""
LOOK_EVERY = 0.25
"""Seconds between two looks at what processes use."""

_TICK = os.sysconf("SC_CLK_TCK")


@define(eq=False)
class Gauge:
    """What a process has used, as far as was seen: of one that has ended that is the last look."""

    name: str
    pid: int
    cpu: float = 0.0
    peak_mb: float = 0.0

    def look(self) -> None:
        """Look once more; seconds of CPU since it began, and the most memory it ever held."""
        with suppress(OSError, ValueError, IndexError):  # it may just have ended
            fields = Path(f"/proc/{self.pid}/stat").read_text().rpartition(")")[2].split()
            status = Path(f"/proc/{self.pid}/status").read_text()
            self.cpu = (int(fields[11]) + int(fields[12])) / _TICK
            self.peak_mb = int(status.split("VmHWM:")[1].split()[0]) / 1024


@define(eq=False)
class Child:
    """A process that a benchmark has started."""

    name: str
    process: asyncio.subprocess.Process
    gauge: Gauge = field(init=False)

    def __attrs_post_init__(self) -> None:
        self.gauge = Gauge(self.name, self.process.pid)

    @property
    def is_running(self) -> bool:
        """Whether it has not ended yet."""
        return self.process.returncode is None

    async def kill(self) -> None:
        """Kill it with `kill -9`, about which it can do nothing."""
        self.gauge.look()
        with suppress(ProcessLookupError):
            self.process.kill()
        await self.process.wait()

    async def end(self) -> None:
        """Ask it to end, and kill it when it does not."""
        if not self.is_running:
            return
        self.gauge.look()
        with suppress(ProcessLookupError):
            self.process.terminate()
        try:
            async with asyncio.timeout(PATIENCE):
                await self.process.wait()
        except TimeoutError:
            await self.kill()


@asynccontextmanager
async def spawned(
    name: str, *arguments: str, env: Mapping[str, str] | None = None, log: Path | None = None, limit: int = 1 << 16
) -> AsyncIterator[Child]:
    """Run this Python with these arguments until the block ends; nothing of it is left behind.

    With a `log` all that it says goes there. Else it is asked on its stdin and answers on its stdout.
    """
    file = log.open("ab") if log else None
    try:
        process = await asyncio.create_subprocess_exec(
            sys.executable,
            *arguments,
            stdin=DEVNULL if log else PIPE,
            stdout=file or PIPE,
            stderr=file or None,
            env={**os.environ, **(env or {})},
            cwd=ROOT,
            limit=limit,
        )
    finally:
        if file:
            file.close()
    child = Child(name, process)
    try:
        yield child
    finally:
        await child.end()


@frozen
class Usage:
    """What a stretch of time used: seconds of CPU under each name, and on this host in all, others' work included."""

    seconds: float
    cpu: Mapping[str, float]
    host: float

    def each(self, count: int) -> str:
        """Say how many milliseconds of CPU each of so many apps took, and whose."""
        told = ", ".join(f"{name} {1000 * spent / count:.1f}" for name, spent in self.cpu.items())
        return f"{1000 * sum(self.cpu.values()) / count:.1f}: {told}"

    @property
    def busy(self) -> str:
        """Say how many CPUs were busy with it, and with everything."""
        own, host = sum(self.cpu.values()) / self.seconds, self.host / self.seconds
        return f"{own:.2f} with this and {host - own:.2f} with other work, of {os.cpu_count()}"


@define(eq=False)
class Meter:
    """Measures what processes use from its making on; those that come later count from their start."""

    gauges: list[Gauge]
    _before: dict[int, float] = field(init=False)
    _began: float = field(init=False)
    _busy: float = field(init=False)

    def __attrs_post_init__(self) -> None:
        self._began = asyncio.get_running_loop().time()
        self._before = {gauge.pid: _looked(gauge).cpu for gauge in self.gauges}
        self._busy = busy()

    def add(self, gauge: Gauge) -> None:
        """Measure one more."""
        self.gauges.append(gauge)

    @asynccontextmanager
    async def watching(self) -> AsyncIterator[None]:
        """Look again and again until the block ends, for those that end meanwhile."""
        watch = asyncio.create_task(self._watch())
        try:
            yield
        finally:
            watch.cancel()
            await asyncio.gather(watch, return_exceptions=True)

    async def _watch(self) -> None:
        while True:
            for gauge in self.gauges:
                gauge.look()
            await asyncio.sleep(LOOK_EVERY)

    def read(self) -> Usage:
        """Say what was used so far, processes of one name taken together."""
        cpu: defaultdict[str, float] = defaultdict(float)
        for gauge in self.gauges:
            cpu[gauge.name] += _looked(gauge).cpu - self._before.get(gauge.pid, 0.0)
        return Usage(asyncio.get_running_loop().time() - self._began, cpu, busy() - self._busy)

    def peaks(self) -> dict[str, float]:
        """Give the most memory that any process of each name has held, in MB."""
        peaks: dict[str, float] = {}
        for gauge in self.gauges:
            peaks[gauge.name] = max(peaks.get(gauge.name, 0.0), gauge.peak_mb)
        return peaks


def _looked(gauge: Gauge) -> Gauge:
    gauge.look()
    return gauge


def busy() -> float:
    """Give the seconds for which the CPUs of this machine have been busy since it began, all taken together."""
    user, nice, system, _, _, irq, softirq, *_ = map(int, Path("/proc/stat").read_text().split("\n")[0].split()[1:])
    return (user + nice + system + irq + softirq) / _TICK


def tails(paths: Iterable[Path], lines: int = 15) -> str:
    """Give the last lines of logs, for whoever has to find out what went wrong."""
    texts = ((path, path.read_text(errors="replace").splitlines()[-lines:]) for path in paths)
    return "\n".join(f"--- {path.name}\n" + "\n".join(text) for path, text in texts if text)
