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
from functools import partial
from typing import Any

from attrs import evolve, frozen

from benchmarks.parts import session_clients as client
from benchmarks.parts.session_clients import Call, Operation, answering, clients, generated
from benchmarks.shared import instructions
from benchmarks.shared.table import Goal, Table, number, rows
from benchmarks.shared.timing import Taken, alternate_tasks, compared, repeated

BASES = {"x aiohttp": client.RAW, "x bare": client.BARE, "x aiohttp+json": client.RAW_JSON, "x httpx": client.HTTPX}
MEDIANS = ("x bare", "x aiohttp+json")
"""The ratios that are shown without their spread."""
OF_OBJECTS = "json.loads and plain objects that nothing checks take almost all of that: see the floor's row"
GOALS = {
    client.UNDECODED: [
        Goal("x aiohttp <= 1.25", "by count it is less: many at once, ours take longer for an instruction"),
        Goal("by count <= 1.25"),
    ],
    client.MODELS: [
        Goal("x aiohttp <= 2", OF_OBJECTS),
        Goal("by count <= 2", OF_OBJECTS),
        Goal("x httpx <= 0.1", "the floor is not there either: see its row"),
    ],
}
MACHINES, TINY_MACHINES = 1000, 5


@frozen
class Scene:
    """So many calls of one operation in each round, so many at once; httpx, the slowest by far, makes fewer."""

    operation: Operation
    at_once: int
    calls: int
    of_httpx: int
    rounds: int = 4

    @property
    def counted(self) -> int:
        """How many calls of each have their instructions counted: they do not differ, so few are enough."""
        return max(2 if self.operation == "list" else 128, self.at_once)


SCENES = [
    *(Scene("get", at_once, 512, max(64, at_once)) for at_once in (1, 32, 256)),
    *(Scene("create", at_once, 512, max(64, at_once)) for at_once in (1, 32, 256)),
    Scene("list", 1, 8, 2, rounds=3),
    Scene("list", 32, 32, 32, rounds=2),
]
TINY_SCENES = [evolve(scene, calls=4, of_httpx=4, rounds=1) for scene in SCENES[2::2]]
"""One of each operation, and one more."""


def measure(*, tiny: bool) -> Iterator[Table]:
    """Measure getting, creating and listing machines, one call at a time and many at once."""
    with generated() as directory, answering(TINY_MACHINES if tiny else MACHINES) as url:
        for scene in TINY_SCENES if tiny else SCENES:
            taken = asyncio.run(_taken(scene, url))
            yield table(scene, taken, {} if tiny or not instructions.is_possible() else _counts(scene, url, directory))


async def _taken(scene: Scene, url: str) -> Taken:
    """Return the seconds of CPU for one call, by client, one figure for each round."""
    async with clients(url, scene.operation, scene.at_once) as calls:
        await _check(calls)
        many = {name: scene.of_httpx if name == client.HTTPX else scene.calls for name in calls}
        work = {name: partial(repeated, call, many[name], scene.at_once) for name, call in calls.items()}
        taken = await alternate_tasks(work, scene.rounds)
        return {name: [seconds / many[name] for seconds in rounds] for name, rounds in taken.items()}


async def _check(calls: Mapping[str, Call]) -> None:
    """Make sure that all of them receive the same."""
    answers = {name: await call() for name, call in calls.items()}
    assert answers[client.RAW] == answers[client.BARE] == answers[client.FLOOR] == answers[client.UNDECODED]
    assert json.loads(answers[client.RAW]) == answers[client.RAW_JSON] == answers[client.AS_JSON]
    for name in (client.FLOOR_OBJECTS, client.MODELS, client.HTTPX):
        assert _ids(answers[name]) == _ids(answers[client.AS_JSON])


def _ids(answer: Any) -> list[str]:
    shown = answer if isinstance(answer, list | tuple) else [answer]
    return [each["id"] if isinstance(each, dict) else each.id for each in shown]


def _counts(scene: Scene, url: str, directory: str) -> dict[str, float]:
    """Return the instructions of one call, by client."""
    words = ["-m", "benchmarks.session", scene.operation, str(scene.at_once), url]
    counts = instructions.sections(words, {"PYTHONPATH": ":".join([directory, *sys.path])})
    return {name: each / scene.counted for name, each in counts.items()}


async def _be_counted(scene: Scene, url: str) -> None:
    async with clients(url, scene.operation, scene.at_once) as calls:
        for name, call in calls.items():
            if name != client.HTTPX or scene.at_once == 1:  # with many at once, that would take minutes
                await instructions.section(name, partial(repeated, call, scene.counted, scene.at_once))


def table(scene: Scene, taken: Taken, counts: Mapping[str, float]) -> Table:
    """Show what each took for one call, and as ratios."""
    figures = compared(taken, "us of CPU", 1e-6, BASES)
    for name, each in figures.items():
        each |= {base: number(each[base]) for base in MEDIANS}
        each |= {
            "instructions": counts.get(name),
            "by count": counts[name] / counts[client.RAW] if name in counts else None,
        }
    what = {"get": "get a machine", "list": "list the machines of an app", "create": "create a machine"}
    above = (
        (name, floor, counts[name] - counts[floor])
        for name, floor in ((client.UNDECODED, client.FLOOR), (client.MODELS, client.FLOOR_OBJECTS))
    )
    return Table(
        title=f"{what[scene.operation]}, {scene.at_once} at once: client CPU of a call",
        subject="client",
        columns={"us of CPU": ".0f", **dict.fromkeys(BASES, ".2f"), "instructions": ",.0f", "by count": ".2f"},
        rows=rows(
            figures,
            {name: [goal for goal in goals if goal.column != "by count" or counts] for name, goals in GOALS.items()},
        ),
        notes=[
            f"{name}: {more:,.0f} instructions a call, {more / counts[floor]:.0%}, above the row {floor!r}, "
            f"which is {counts[floor] / counts[client.RAW]:.2f} x aiohttp."
            for name, floor, more in above
        ]
        if counts
        else [instructions.MISSING],
    )


if __name__ == "__main__":
    operation, at_once, url = sys.argv[1:]
    (scene,) = (each for each in SCENES if (each.operation, each.at_once) == (operation, int(at_once)))
    asyncio.run(_be_counted(scene, url))
