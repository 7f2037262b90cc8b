"""What a call costs the client: flyasync's session layer beside aiohttp, and a client generated for httpx.

The server is a process of its own that answers with bytes which are ready, so what is counted is the CPU of the client
alone, the kernel's work for its sockets included. All take turns, round by round, with the same answers. Instructions
are counted beside the time where valgrind is installed: they leave the kernel out, and do not fluctuate. A list is not
asked for 256 times at once: so many answers of 2 MB are half a gigabyte, and memory would be what is measured.

`python -m benchmarks.session OPERATION AT_ONCE URL` makes the calls that are counted.
"""

import asyncio
import json
import sys
from collections.abc import Iterator, Mapping
from importlib import import_module
from pathlib import Path
from types import ModuleType
from typing import Any

from attrs import evolve, frozen

from benchmarks.parts.session_httpx import PACKAGE, generated
from benchmarks.parts.session_server import answering
from benchmarks.parts.session_subjects import (
    AS_JSON,
    BARE,
    FLOOR,
    FLOOR_OBJECTS,
    HTTPX,
    MODELS,
    RAW,
    RAW_JSON,
    UNDECODED,
    Call,
    Operation,
    Shift,
    subjects,
)
from benchmarks.shared import instructions
from benchmarks.shared.table import Goal, Row, Table, number
from benchmarks.shared.timing import Taken, alternate_tasks, compared

BASES = {"x aiohttp": RAW, "x bare": BARE, "x aiohttp+json": RAW_JSON, "x httpx": HTTPX}
SPREAD = ("x aiohttp", "x httpx")
CPU, COUNTED, BY_COUNT = "us of CPU", "instructions", "by count"

OF_OBJECTS = "json.loads and plain objects that nothing checks take almost all of that: see the floor's row"
GOALS = {
    UNDECODED: [
        Goal("x aiohttp <= 1.25", "by count it is less: many at once, ours take longer for an instruction"),
        Goal(f"{BY_COUNT} <= 1.25"),
    ],
    MODELS: [
        *(Goal(f"{column} <= 2", OF_OBJECTS) for column in ("x aiohttp", BY_COUNT)),
        Goal("x httpx <= 0.1", "the floor is not there either: see its row"),
    ],
}


@frozen(kw_only=True)
class Scene:
    """So many calls of one operation in each round, so many at once; httpx, the slowest by far, makes fewer."""

    operation: Operation
    at_once: int
    calls: int
    calls_httpx: int
    rounds: int = 4

    @property
    def title(self) -> str:
        """Say what is measured."""
        what = {"get": "get a machine", "list": "list the machines of an app", "create": "create a machine"}
        return f"{what[self.operation]}, {self.at_once} at once"

    @property
    def counted(self) -> int:
        """Say how many calls of each are counted: they do not differ, so few are enough."""
        return max(2 if self.operation == "list" else 128, self.at_once)

    def is_counted(self, subject: str) -> bool:
        """Whether a subject's instructions are counted: of httpx with many at once, that would take minutes."""
        return subject != HTTPX or self.at_once == 1


SCENES = (
    *(
        Scene(operation=operation, at_once=at_once, calls=512, calls_httpx=max(64, at_once))
        for operation in ("get", "create")
        for at_once in (1, 32, 256)
    ),
    Scene(operation="list", at_once=1, calls=8, calls_httpx=2, rounds=3),
    Scene(operation="list", at_once=32, calls=32, calls_httpx=32, rounds=2),
)
MACHINES = 1000
# One of each operation.
TINY_SCENES = [evolve(scene, calls=4, calls_httpx=4, rounds=1) for scene in SCENES[2::2]]
TINY_MACHINES = 5


def measure(*, tiny: bool) -> Iterator[Table]:
    """Measure getting, creating and listing machines, one call at a time and many at once."""
    with generated() as package, answering(TINY_MACHINES if tiny else MACHINES) as url:
        for scene in TINY_SCENES if tiny else SCENES:
            taken = asyncio.run(_taken(scene, url, package))
            yield table(scene, taken, _counted(scene, url, package) if instructions.is_possible() and not tiny else {})


async def _taken(scene: Scene, url: str, package: ModuleType) -> Taken:
    """Give seconds of CPU for one call, by subject, one figure for each round."""
    async with subjects(url, scene.operation, package, scene.at_once) as calls:
        await _check(scene, calls)
        shifts = {name: Shift(call, _calls(scene, name), scene.at_once) for name, call in calls.items()}
        taken = await alternate_tasks({name: shift.work for name, shift in shifts.items()}, scene.rounds)
        return {name: [seconds / shifts[name].calls for seconds in rounds] for name, rounds in taken.items()}


def _calls(scene: Scene, subject: str) -> int:
    return scene.calls_httpx if subject == HTTPX else scene.calls


def _counted(scene: Scene, url: str, package: ModuleType) -> dict[str, float]:
    """Give the instructions of one call, by subject."""
    assert package.__file__
    path = [str(Path(package.__file__).parents[1]), *sys.path]
    words = ["-m", "benchmarks.session", scene.operation, str(scene.at_once), url]
    counts = instructions.sections(words, {"PYTHONPATH": ":".join(path)})
    names = (RAW, BARE, RAW_JSON, FLOOR, FLOOR_OBJECTS, UNDECODED, AS_JSON, MODELS, HTTPX)
    return {name: count / scene.counted for name, count in zip(filter(scene.is_counted, names), counts, strict=True)}


async def _be_counted(scene: Scene, url: str) -> None:
    async with subjects(url, scene.operation, import_module(PACKAGE), scene.at_once) as calls:
        for name, call in calls.items():
            if scene.is_counted(name):
                await instructions.section(Shift(call, scene.counted, scene.at_once).work)


async def _check(scene: Scene, calls: Mapping[str, Call]) -> None:
    """Make sure that all of them were told the same."""
    answers = {name: await call() for name, call in calls.items()}
    assert answers[RAW] == answers[BARE] == answers[FLOOR] == answers[UNDECODED]
    assert json.loads(answers[RAW]) == answers[RAW_JSON] == answers[AS_JSON]
    for subject in (FLOOR_OBJECTS, MODELS, HTTPX):
        assert _ids(scene, answers[subject]) == _ids(scene, answers[AS_JSON])


def _ids(scene: Scene, answer: Any) -> list[str]:
    shown = answer if scene.operation == "list" else [answer]
    return [one["id"] if isinstance(one, dict) else one.id for one in shown]


def table(scene: Scene, taken: Taken, counts: Mapping[str, float]) -> Table:
    """Show what each took for one call, and as ratios."""
    return Table(
        title=f"{scene.title}: client CPU of a call",
        subject="client",
        columns={CPU: ".0f", **dict.fromkeys(BASES, ".2f"), COUNTED: ",.0f", BY_COUNT: ".2f"},
        rows=list(_rows(taken, counts)),
        notes=_above(counts) if counts else [instructions.MISSING],
    )


def _rows(taken: Taken, counts: Mapping[str, float]) -> Iterator[Row]:
    for subject, figures in compared(taken, CPU, 1e-6, BASES).items():
        figures |= {name: number(figures[name]) for name in BASES if name not in SPREAD}
        figures[COUNTED] = counts.get(subject)
        figures[BY_COUNT] = counts[subject] / counts[RAW] if subject in counts else None
        goals = [goal for goal in GOALS.get(subject, []) if goal.column != BY_COUNT or counts]
        yield Row(subject, figures, goals)


def _above(counts: Mapping[str, float]) -> list[str]:
    """Say what is left above the floor."""
    pairs = ((UNDECODED, FLOOR), (MODELS, FLOOR_OBJECTS))
    return [
        f"{mine}: {counts[mine] - counts[floor]:,.0f} instructions a call, {counts[mine] / counts[floor] - 1:.0%}, "
        f"above the row {floor!r}, which is {counts[floor] / counts[RAW]:.2f} x aiohttp."
        for mine, floor in pairs
    ]


if __name__ == "__main__":
    operation, at_once, url = sys.argv[1:]
    (scene,) = (each for each in SCENES if (each.operation, each.at_once) == (operation, int(at_once)))
    asyncio.run(_be_counted(scene, url))
