"""What the live page costs a browser with 500 machines in 35 regions: `python -m benchmarks.web [--screenshots DIR]`.

A rollout is shown to the page over 20 seconds, thirty times as fast as the published limits allow, with failures and
queues. Chromium traces the page. A frame is the time from one start of drawing to the next; its work are the tasks of
the main thread that begin in it, in CPU time, since other processes share this machine, and in wall time as well.
"""

import asyncio
import json
import random
import shutil
import statistics
import sys
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any

from benchmarks.shared.options import options
from flyasync.api.client_events import Dequeued, Queued, Span
from flyasync.deploy.plan.duration import Estimate
from flyasync.deploy.plan.plan import AwaitHealthy, AwaitStarted, Create, Lane, Plan, Stage, Track
from flyasync.deploy.plan.spec import DesiredMachine
from flyasync.deploy.reporting.events import Planned, Progress
from flyasync.deploy.reporting.page_assets import MODULES, STYLES, asset, positions_of
from flyasync.deploy.reporting.phase import Phase
from flyasync.models.config import MachineConfig
from flyasync.web.event_feed import EventFeed
from flyasync.web.server import serving

MACHINES = 500
SECONDS = 20.0
GOAL = 8.0
STATIC = ("live.html", "regions.json", "report.css")
CATEGORIES = ("disabled-by-default-devtools.timeline", "devtools.timeline", "toplevel", "__metadata")
WAY = (Phase.CREATING, Phase.CREATED, Phase.STARTING, Phase.STARTED, Phase.CHECKING, Phase.HEALTHY)
STEPS = (
    Create(cause="the region has no such machine", config=MachineConfig(image="nginx")),
    AwaitStarted(cause="it was created"),
    AwaitHealthy(cause="it has checks"),
)


def planned() -> Planned:
    """Return the plan of a launch in all regions."""
    regions = list(positions_of(()))
    lanes = []
    for first, region in enumerate(regions):
        numbers = range(1, len(range(first, MACHINES, len(regions))) + 1)
        machines = [DesiredMachine(name=f"v2-{region}-{number}", region=region, number=number) for number in numbers]
        lanes.append(Lane(region=region, tracks=tuple(Track(machine=each, steps=STEPS) for each in machines), width=3))
    plan = Plan(
        app="web",
        launch="v2",
        image="registry.fly.io/web:v2",
        fallback="skip",
        stages=(Stage(lanes=tuple(lanes), title="create"),),
        estimate=Estimate(least=SECONDS * 0.8, likely=SECONDS, most=SECONDS * 1.5),
    )
    return Planned(at=0.0, plan=plan)


def rollout(plan: Plan, noise: random.Random) -> Iterator[Progress]:
    """Yield the events of all machines; one in twenty fails, and one in fifty moves to another region."""
    for number, track in enumerate(plan.tracks):
        at = begun = SECONDS * 0.8 * number / MACHINES
        region = track.machine.region
        way = WAY if noise.random() > 0.05 else (*WAY[: noise.randrange(1, 5)], Phase.FAILED)
        for step, phase in enumerate(way):
            at += SECONDS * 0.03 * noise.uniform(0.5, 1.2) if step else 0.0
            if phase is Phase.CREATED and noise.random() < 0.02:
                region = "iad"
            yield Progress(
                at=round(at, 3),
                name=track.machine.name,
                asked=track.machine.region,
                region=region,
                phase=phase,
                machine_id=f"{number:014x}" if step else None,
                detail="could not find a candidate host (HTTP 422)" if phase is Phase.FAILED else None,
                remaining=Estimate(least=0, likely=SECONDS - begun, most=2 * SECONDS),
            )


async def show(feed: EventFeed) -> None:
    """Pass the events to the page at their times, each create with a wait for a permit."""
    loop, first = asyncio.get_running_loop(), planned()
    zero = loop.time()
    feed.show(first)
    for event in sorted(rollout(first.plan, random.Random(1)), key=lambda event: event.at):
        await asyncio.sleep(max(0.0, zero + event.at - loop.time()))
        if event.phase is Phase.CREATING:
            span = Span("machine", event.name, None)
            queued = Queued(operation="machines.create", identifier="web", number=1, span=span)
            feed.observe(queued)
            loop.call_later(1.5, feed.observe, Dequeued.of(queued, waited=1.5, granted=True))
        feed.show(event)


async def measure(screenshots: str) -> int:
    """Measure, print the figures, and return 1 if the goal is missed."""
    from playwright.async_api import async_playwright

    feed = EventFeed()
    async with serving(feed) as server, async_playwright() as playwright:
        browser = await playwright.chromium.launch(executable_path=shutil.which("chromium"), args=["--no-sandbox"])
        page = await browser.new_page(viewport={"width": 1280, "height": 900})
        session = await page.context.new_cdp_session(page)
        chunks: list[dict[str, Any]] = []
        over = asyncio.Event()
        session.on("Tracing.dataCollected", lambda data: chunks.extend(data["value"]))
        session.on("Tracing.tracingComplete", lambda _: over.set())
        await page.goto(server.url)
        await session.send("Tracing.start", {"traceConfig": {"includedCategories": list(CATEGORIES)}})
        rolling = asyncio.ensure_future(show(feed))
        await asyncio.sleep(SECONDS / 2)
        if screenshots:
            await page.screenshot(path=Path(screenshots, "half.png"), full_page=True)
        await rolling
        await session.send("Tracing.end")
        await over.wait()
        shown = await page.locator("#count").inner_text()
        await browser.close()
    return report(chunks, shown)


def report(trace: list[dict[str, Any]], shown: str) -> int:
    """Print the figures of a trace."""
    main = next((each["pid"], each["tid"]) for each in trace if each["name"] == "FireAnimationFrame")
    here = sorted((each for each in trace if (each["pid"], each["tid"]) == main), key=lambda each: each.get("ts", 0))
    starts = [each["ts"] for each in here if each["name"] == "FireAnimationFrame"]
    drawn = list(frames(starts, [each for each in here if each["name"] == "RunTask" and each["ph"] == "X"]))
    cpu, wall = zip(*drawn, strict=True)
    p95 = statistics.quantiles(cpu, n=20)[-1]
    row = {
        "machines": MACHINES,
        "shown": shown,
        "frames": len(drawn),
        "cpu_ms_p50": round(statistics.median(cpu), 2),
        "cpu_ms_p95": round(p95, 2),
        "cpu_ms_max": round(max(cpu), 2),
        "wall_ms_p95": round(statistics.quantiles(wall, n=20)[-1], 2),
        "goal_ms_p95": GOAL,
        "assets_bytes": sum(len(asset(name).encode()) for name in (*MODULES, *STYLES, *STATIC)),
    }
    print(json.dumps(row, indent=2))
    return int(p95 > GOAL)


def frames(starts: list[float], tasks: list[dict[str, Any]]) -> Iterator[tuple[float, float]]:
    """Yield the CPU time and the wall time of each frame, in milliseconds; the task that draws contains its start."""
    later = iter(tasks)
    task = next(later, None)
    for begin, end in pairwise(starts):
        cpu = wall = 0.0
        while task and task["ts"] < end:
            if task["ts"] + task["dur"] >= begin:
                cpu += task.get("tdur", task["dur"]) / 1000
                wall += task["dur"] / 1000
            task = next(later, None)
        yield cpu, wall


if __name__ == "__main__":
    sys.exit(asyncio.run(measure(**vars(options(__doc__, screenshots="")))))
