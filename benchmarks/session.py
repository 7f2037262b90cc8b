"""What a call costs the client: flyasync's session layer beside bare aiohttp, and a client generated for httpx.

The server is a process of its own that answers with bytes which are ready, so what is counted is the CPU of the client
alone, the kernel's work for its sockets included. All take turns, round by round, with the same answers. A list is not
asked for 256 times at once: so many answers of 2 MB are half a gigabyte, and memory would be what is measured.
"""

import asyncio
from collections.abc import Iterator, Mapping
from types import ModuleType
from typing import Any

from attrs import evolve, frozen

from benchmarks.session_httpx import generated
from benchmarks.session_server import answering
from benchmarks.session_subjects import (
    AS_JSON,
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
from benchmarks.table import Column, Goal, Row, Table
from benchmarks.timing import Taken, alternate_tasks, ratio, spread

BASES = {"x aiohttp": RAW, "x aiohttp+json": RAW_JSON, "x httpx": HTTPX}
CPU = "us of CPU"

AROUND = Goal(
    column="x aiohttp",
    at_most=1.25,
    why="a turn in the bucket, a place, two timers more and a guard against hidden repeats are Python's bytecode, but "
    "much of an exchange by aiohttp is C and the kernel, whose part shrinks where many calls are under way",
)
WHOLE = Goal(
    column="x aiohttp",
    at_most=2,
    why="on top of that come json.loads and making the objects, and the base reads bytes without looking into them",
)
COPIED = Goal(
    column="x aiohttp",
    at_most=1.25,
    why="the answer is made into text here, which copies a list once more",
)
LISTED = Goal(
    column="x aiohttp",
    at_most=2,
    why="no decoder gets there: reading the bytes of a list is little more than copying them, json.loads of them takes "
    "several times that, and the objects are still to be made then; compare with aiohttp+json",
)
TENTH = Goal(
    column="x httpx",
    at_most=0.1,
    why="httpx looks through its pool at each call, but with the hundred connections it has by itself that is not yet "
    "ten times as dear as this",
)


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

    def goals(self, subject: str) -> list[Goal]:
        """Say what a subject was to reach."""
        is_list = self.operation == "list"
        if subject == UNDECODED:
            return [COPIED if is_list else AROUND]
        if subject == MODELS:
            return [LISTED if is_list else WHOLE, *([TENTH] if self.at_once == 256 else [])]
        return []


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
            yield table(scene, asyncio.run(_taken(scene, url, package)))


async def _taken(scene: Scene, url: str, package: ModuleType) -> Taken:
    """Give seconds of CPU for one call, by subject, one figure for each round."""
    async with subjects(url, scene.operation, package, scene.at_once) as calls:
        await _check(scene, calls)
        shifts = {name: Shift(call, _calls(scene, name), scene.at_once) for name, call in calls.items()}
        taken = await alternate_tasks({name: shift.work for name, shift in shifts.items()}, scene.rounds)
        return {name: [seconds / shifts[name].calls for seconds in rounds] for name, rounds in taken.items()}


def _calls(scene: Scene, subject: str) -> int:
    return scene.calls_httpx if subject == HTTPX else scene.calls


async def _check(scene: Scene, calls: Mapping[str, Call]) -> None:
    """Make sure that all of them were told the same."""
    answers = {name: await call() for name, call in calls.items()}
    assert answers[RAW] == answers[UNDECODED].encode()
    assert answers[RAW_JSON] == answers[AS_JSON]
    for subject in (RAW_JSON, MODELS, HTTPX):
        assert _ids(scene, answers[subject]) == _ids(scene, answers[AS_JSON])


def _ids(scene: Scene, answer: Any) -> list[str]:
    shown = answer if scene.operation == "list" else [answer]
    return [one["id"] if isinstance(one, dict) else one.id for one in shown]


def table(scene: Scene, taken: Taken) -> Table:
    """Show what each took for one call, and as ratios."""
    return Table(
        title=f"{scene.title}: client CPU of a call",
        subject="client",
        columns=[
            Column(name=CPU, form=".0f", is_spread=True),
            *(Column(name=name, form=".2f", is_spread=True) for name in BASES),
        ],
        rows=[_row(scene, taken, subject) for subject in taken],
    )


def _row(scene: Scene, taken: Taken, subject: str) -> Row:
    figures = {name: ratio(taken, subject, base) for name, base in BASES.items()}
    return Row(
        name=subject,
        figures={CPU: spread(taken, subject, per=1e-6), **figures},
        goals=scene.goals(subject),
    )
