"""flyctl and flyasync as commands, one after the other, each on an emulator of its own that keeps the published limits.

An app gets two machines and is then scaled to six; another app gets its first deploy, of six process groups with a
machine each. flyctl creates machines one after the other, and a create that the limit refuses ends the command.
"""

import asyncio
import sys
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory

from benchmarks.flyctl_deploys import Sandbox
from benchmarks.parts.launch_rivals import IMAGE, emulated
from benchmarks.shared.table import Goal, Row, Table

MACHINES = 6
HEAD = 'app = "web"\nprimary_region = "iad"\n[http_service]\ninternal_port = 8080\n'
GROUPS = "".join(f'g{number} = "serve"\n' for number in range(1, MACHINES + 1))
IN_GROUPS = f'{HEAD}processes = ["g1"]\n[processes]\n{GROUPS}'
REFILL = 4.0
"""Seconds until the limits have forgotten the deploy before."""
COLUMNS = {"exit": "", "running": "", "seconds": ".1f", "429s": "", "requests each": ".1f"}
NOTES = (
    "Running: of six machines, once those that were created have come up. Each: for each of them.",
    "Both watch each machine for some seconds after its start, and a deploy allocates the app's addresses.",
)
GOALS = (Goal("exit <= 0"), Goal(f"running >= {MACHINES}"))


async def beside_flyctl(flyctl: Path, *, boot: float) -> Table:
    """Have flyctl and flyasync do both, all at the same time."""
    ours, theirs = partial(_row, Path(sys.executable), boot), partial(_row, flyctl, boot)
    our_deploy = ("-m", "flyasync", "deploy", "--config", "fly.toml", "--image", IMAGE)
    their_deploy = ("deploy", "--image", IMAGE, "--yes", "--dns-checks=false")
    scaled, first = "scale from 2 to 6", "first deploy of 6 groups"
    rows = await asyncio.gather(
        ours(f"{scaled}: flyasync", HEAD, our_deploy, ("-m", "flyasync", "scale", "web", str(MACHINES))),
        theirs(f"{scaled}: flyctl", HEAD, their_deploy, ("scale", "count", str(MACHINES), "--yes")),
        ours(f"{first}: flyasync", IN_GROUPS, (*our_deploy, "--ha=false")),
        theirs(f"{first}: flyctl", IN_GROUPS, (*their_deploy, "--ha=false")),
    )
    return Table(title="The official command, in real time", subject="job: by", columns=COLUMNS, rows=rows, notes=NOTES)


async def _row(program: Path, boot: float, name: str, toml: str, *runs: Sequence[str]) -> Row:
    """Run a program with each of these words, in a folder with a fly.toml; the figures are those of the last run."""
    async with emulated(["web"], boot=boot) as emulator:
        with TemporaryDirectory() as folder:
            box = Sandbox(program, emulator, Path(folder))
            (box.folder / "fly.toml").write_text(toml)
            for words in runs[:-1]:
                made = await box.run(*words)
                assert made.status == 0, made.output
                await asyncio.sleep(REFILL)
            refused = sum(emulator.refused_by_limit().values())
            run = await box.run(*runs[-1])
        figures = {
            "exit": run.status,
            "running": sum(machine.state == "started" for machine in emulator.world.machines.values()),
            "seconds": run.seconds,
            "429s": sum(emulator.refused_by_limit().values()) - refused,
            "requests each": run.requests / MACHINES,
        }
    return Row(name, figures, GOALS if name.endswith("flyasync") else ())
