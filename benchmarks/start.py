"""What it costs to start: CPU of a fresh interpreter that imports, or that answers a command line.

Each row is a process of its own, and its CPU time is what the operating system counted for it, from its first
instruction to its last. The rows take turns. All Python sources are compiled beforehand, ours as well as the others',
as an installed package's are: the round that counts for nothing writes the compiled files into a directory that this
run alone uses.

What a program imports when it begins is one thing, what it uses soon after another: a resource of a client is imported
when it is first asked for. So there is a row for a client that has been asked for its machines, and one for a client
that has been asked for everything there is.
"""

import os
import resource
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from tempfile import TemporaryDirectory

from attrs import frozen

from benchmarks.shared.table import Column, Goal, Row, Table
from benchmarks.shared.timing import Taken, alternate, ratio, spread

ROUNDS, TINY_ROUNDS = 15, 1
AIOHTTP, CLICK = "import aiohttp", "import click"
CLIENT = "from flyasync import FlyClient"

SECONDS = Column(name="ms of CPU", form=".0f", is_spread=True)
OF_AIOHTTP = Column(name="x import aiohttp", form=".2f", is_spread=True)
OF_CLICK = Column(name="x import click", form=".2f", is_spread=True)

_IMPORTS = "attrs classes are compiled as their module is imported, on top of what importing aiohttp costs by itself"
_HELP = "our own modules, and what they import of Python's, come on top of click"


@frozen(kw_only=True)
class Start:
    """A program that is started, and what it is to cost at most: of importing aiohttp, or of importing click."""

    program: str
    of_aiohttp: float | None = None
    of_click: float | None = None

    @property
    def goals(self) -> list[Goal]:
        """What it is to reach."""
        goals = ((OF_AIOHTTP, self.of_aiohttp, _IMPORTS), (OF_CLICK, self.of_click, _HELP))
        return [Goal(column=column.name, at_most=most, why=why) for column, most, why in goals if most is not None]


def _command(*words: str) -> str:
    return f"import sys; sys.argv = {['flyasync', *words]!r}; from flyasync.__main__ import main; main()"


def _asked_for(*resources: str) -> str:
    return "; ".join([CLIENT, "fly = FlyClient('fm2_x')", *(f"fly.{name}" for name in resources)])


ALL = (
    "apps", "machines", "leases", "volumes", "secrets", "secret_keys", "certificates", "images", "ip_assignments",
    "tokens", "orgs", "logs", "platform", "postgres",
)  # fmt: skip

HELPS = ("deploy", "bulk", "scale", "status", "logs", "machines", "machines run", "volumes list", "secrets", "pool")
"""The commands whose help is measured; a test finds out that none but the emulator's imports what is slow."""

STARTS: Mapping[str, Start] = {
    "a bare interpreter": Start(program="pass"),
    CLICK: Start(program=CLICK),
    AIOHTTP: Start(program=AIOHTTP),
    "import flyasync": Start(program="import flyasync", of_click=1.0),
    CLIENT: Start(program=CLIENT, of_aiohttp=1.2),
    "… and its machines": Start(program=_asked_for("machines"), of_aiohttp=1.5),
    "… and all its resources": Start(program=_asked_for(*ALL)),
    "from flyasync import DeployBuilder": Start(program="from flyasync import DeployBuilder"),
    "flyasync --version": Start(program=_command("--version")),
    "flyasync --help": Start(program=_command("--help"), of_click=2.0),
    **{f"flyasync {words} --help": Start(program=_command(*words.split(), "--help"), of_click=2.0) for words in HELPS},
}


def measure(*, tiny: bool) -> Iterator[Table]:
    """Start each program in turn, and compare."""
    with TemporaryDirectory() as compiled:
        subjects: Mapping[str, Callable[[], object]] = {
            name: partial(_run, start.program, compiled) for name, start in STARTS.items()
        }
        taken = alternate(subjects, TINY_ROUNDS if tiny else ROUNDS, clock=_cpu_of_children)
    yield Table(
        title="what a fresh process costs",
        subject="started",
        columns=[SECONDS, OF_AIOHTTP, OF_CLICK],
        rows=[row(name, start, taken) for name, start in STARTS.items()],
        notes=[
            "each figure is of a whole process: the bare interpreter is in all of them, in click's and aiohttp's too"
        ],
    )


def row(name: str, start: Start, taken: Taken) -> Row:
    """Put a row together from what all of them took."""
    figures = {
        SECONDS.name: spread(taken, name, per=0.001),
        OF_AIOHTTP.name: ratio(taken, name, AIOHTTP),
        OF_CLICK.name: ratio(taken, name, CLICK),
    }
    return Row(name=name, figures=figures, goals=start.goals)


def _run(program: str, compiled: str) -> None:
    environment = {**os.environ, "PYTHONPYCACHEPREFIX": compiled, "PYTHONDONTWRITEBYTECODE": ""}
    command = [sys.executable, "-c", program]
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL, env=environment)  # noqa: S603 - our own programs


def _cpu_of_children() -> float:
    """Count the seconds that children used which have ended."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime
