"""flyctl and flyasync as commands, one after the other, each on an emulator of its own that keeps the published limits.

An app gets two machines and is then scaled to six; another app gets its first deploy, of six process groups with a
machine each. flyctl creates machines one after the other, and a create that the limit refuses ends the command.
"""

import asyncio
import sys
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path

from attrs import frozen

from benchmarks.flyctl_deploys import Sandbox
from benchmarks.rivals.pretend import LATENCY
from benchmarks.rivals.wanted import IMAGE
from benchmarks.shared.table import Figure, Goal, Row, Table
from flyasync import Emulator
from flyasync.emulator.world import apps

MACHINES = 6
HEAD = 'app = "web"\nprimary_region = "iad"\n[http_service]\ninternal_port = 8080\n'
GROUPS = "".join(f'g{number} = "serve"\n' for number in range(1, MACHINES + 1))
IN_GROUPS = f'{HEAD}processes = ["g1"]\n[processes]\n{GROUPS}'
REFILL = 4.0
"""Seconds until the limits have forgotten the deploy before."""
COLUMNS = {
    "exit": "",
    "running": "",
    "seconds": ".1f",
    "429s": "",
    "requests each": ".1f",
}
NOTES = (
    "Running: of six machines, once those that were created have come up. Each: for each of them.",
    "Both watch each machine for some seconds after its start, and a deploy allocates the app's addresses.",
)


@frozen(kw_only=True)
class Command:
    """A command that can do both, and its words."""

    name: str
    path: Path
    before: Sequence[str]
    deploy: Sequence[str]
    scale: Sequence[str]

    async def scaled(self, boot: float) -> Row:
        """Scale an app from two machines to six."""
        return await self._row(HEAD, [*self.before, *self.deploy], [*self.before, *self.scale], boot)

    async def deployed(self, boot: float) -> Row:
        """Deploy six groups for the first time."""
        return await self._row(IN_GROUPS, None, [*self.before, *self.deploy, "--ha=false"], boot)

    async def _row(self, toml: str, first: Sequence[str] | None, words: Sequence[str], boot: float) -> Row:
        async with Emulator(seed=3, boot=(boot, boot), latency=LATENCY, retired=()) as emulator:
            apps.create(emulator.world, "web", org_slug="personal", network="")
            with tempfile.TemporaryDirectory() as folder:
                box = Sandbox(self.path, emulator, Path(folder))
                (box.folder / "fly.toml").write_text(toml)
                if first:
                    made = await box.run(*first)
                    assert made.status == 0, made.output
                    await asyncio.sleep(REFILL)
                refused = sum(emulator.refused_by_limit().values())
                run = await box.run(*words)
            running = sum(machine.state == "started" for machine in emulator.world.machines.values())
            figures: dict[str, Figure] = {
                "exit": run.status,
                "running": running,
                "seconds": run.seconds,
                "429s": sum(emulator.refused_by_limit().values()) - refused,
                "requests each": run.requests / MACHINES,
            }
        goals = (Goal("exit <= 0"), Goal(f"running >= {MACHINES}"))
        what = "scale from 2 to 6" if first else "first deploy of 6 groups"
        return Row(name=f"{what}: {self.name}", figures=figures, goals=goals if self.name == "flyasync" else ())


def commands(flyctl: Path) -> Iterator[Command]:
    """Yield ours, and flyctl."""
    yield Command(
        name="flyasync",
        path=Path(sys.executable),
        before=("-m", "flyasync"),
        deploy=("deploy", "--config", "fly.toml", "--image", IMAGE),
        scale=("scale", "web", str(MACHINES)),
    )
    yield Command(
        name="flyctl",
        path=flyctl,
        before=(),
        deploy=("deploy", "--image", IMAGE, "--yes", "--dns-checks=false"),
        scale=("scale", "count", str(MACHINES), "--yes"),
    )


async def beside_flyctl(flyctl: Path, *, boot: float) -> Table:
    """Have flyctl and flyasync do both, all at the same time."""
    each = list(commands(flyctl))
    rows = await asyncio.gather(*(one.scaled(boot) for one in each), *(one.deployed(boot) for one in each))
    return Table(title="The official command, in real time", subject="job: by", columns=COLUMNS, rows=rows, notes=NOTES)
