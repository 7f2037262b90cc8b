"""The figures of the live page: what belongs to a frame, and a rollout in which every machine ends."""

import random
from typing import Any

from benchmarks.web import MACHINES, frames, planned, rollout


def task(ts: float, dur: float, tdur: float) -> dict[str, Any]:
    return {"ts": ts, "dur": dur, "tdur": tdur}


def test_the_work_of_a_frame_is_that_of_the_tasks_from_its_drawing_to_the_next() -> None:
    # The first task contains the start of the first frame; the last one begins after the second frame has begun.
    tasks = [task(900, 2000, 1000), task(3000, 1000, 500), task(9000, 4000, 3000), task(20_000, 1, 1)]
    assert list(frames([1000, 8000, 15_000], tasks)) == [(1.5, 3.0), (3.0, 4.0)]


def test_every_machine_of_the_rollout_becomes_healthy_or_fails() -> None:
    plan = planned().plan
    events = sorted(rollout(plan, random.Random(1)), key=lambda event: event.at)
    last = {event.name: str(event.phase) for event in events}
    assert len(last) == MACHINES
    assert set(last.values()) == {"healthy", "failed"}
    assert len({track.machine.region for track in plan.tracks}) == 35
