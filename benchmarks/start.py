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
from collections.abc import Iterator
from functools import partial
from tempfile import TemporaryDirectory

from benchmarks.shared.table import Goal, Table, rows
from benchmarks.shared.timing import alternate, compared

ROUNDS, TINY_ROUNDS = 15, 1
AIOHTTP, CLICK = "import aiohttp", "import click"
CLIENT = "from flyasync import FlyClient"
RATIOS = {"x import aiohttp": AIOHTTP, "x import click": CLICK}


def _command(words: str) -> str:
    return f"import sys; sys.argv = {['flyasync', *words.split()]!r}; from flyasync.__main__ import main; main()"


def _asked_for(*resources: str) -> str:
    return "; ".join([CLIENT, "fly = FlyClient('fm2_x')", *(f"fly.{name}" for name in resources)])


ALL = (
    "apps", "machines", "leases", "volumes", "secrets", "secret_keys", "certificates", "images", "ip_assignments",
    "tokens", "orgs", "logs", "platform", "postgres",
)  # fmt: skip
HELPS = (
    "deploy", "bulk", "scale", "status", "logs", "machines", "machines run", "volumes list", "secrets", "pool",
    "emulator",
)  # fmt: skip
"""The commands whose help is measured; a test finds out that none imports what is slow."""

STARTS = {
    "a bare interpreter": "pass",
    CLICK: CLICK,
    AIOHTTP: AIOHTTP,
    "import flyasync": "import flyasync",
    CLIENT: CLIENT,
    "… and its machines": _asked_for("machines"),
    "… and all its resources": _asked_for(*ALL),
    "from flyasync import DeployBuilder": "from flyasync import DeployBuilder",
    "flyasync --version": _command("--version"),
    "flyasync --help": _command("--help"),
    **{f"flyasync {words} --help": _command(f"{words} --help") for words in HELPS},
}
"""The programs."""

_IMPORTS = "attrs classes are compiled as their module is imported, on top of what importing aiohttp costs by itself"
_MODULES = "our own modules, and what they import of Python's, come on top of click"
GOALS = {
    "import flyasync": [Goal("x import click <= 1", _MODULES)],
    CLIENT: [Goal("x import aiohttp <= 1.2", _IMPORTS)],
    "… and its machines": [Goal("x import aiohttp <= 1.5", _IMPORTS)],
    **{name: [Goal("x import click <= 2", _MODULES)] for name in STARTS if name.endswith("--help")},
}


def measure(*, tiny: bool) -> Iterator[Table]:
    """Start each program in turn, and compare."""
    with TemporaryDirectory() as compiled:
        programs = {name: partial(_run, program, compiled) for name, program in STARTS.items()}
        taken = alternate(programs, TINY_ROUNDS if tiny else ROUNDS, clock=_cpu_of_children)
    yield Table(
        title="what a fresh process costs",
        subject="started",
        columns={"ms of CPU": ".0f", **dict.fromkeys(RATIOS, ".2f")},
        rows=rows(compared(taken, "ms of CPU", 1e-3, RATIOS), GOALS),
        notes=[
            "each figure is of a whole process: the bare interpreter is in all of them, in click's and aiohttp's too"
        ],
    )


def _run(program: str, compiled: str) -> None:
    environment = {**os.environ, "PYTHONPYCACHEPREFIX": compiled, "PYTHONDONTWRITEBYTECODE": ""}
    command = [sys.executable, "-c", program]
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL, env=environment)  # noqa: S603 - our own programs


def _cpu_of_children() -> float:
    """Count the seconds that children used which have ended."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime
