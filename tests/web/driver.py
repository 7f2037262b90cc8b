"""Events as a deploy and a client emit them."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from flyasync.api.client_events import Attempt, Dequeued, Queued, Span
from flyasync.deploy.plan.plan import AwaitStarted, Create, Lane, Plan, Stage, Track
from flyasync.deploy.plan.spec import DesiredMachine
from flyasync.deploy.reporting.events import Planned, Progress
from flyasync.deploy.reporting.phase import Phase
from flyasync.models.config import MachineConfig
from flyasync.web.event_feed import EventFeed

Message = tuple[str, dict[str, Any]]


def planned(*regions: str) -> Planned:
    lanes = tuple(Lane(region=region, tracks=(_track(region),)) for region in regions)
    return Planned(
        at=0.5, plan=Plan(app="web", launch="v1", image="nginx", fallback="skip", stages=(Stage(lanes=lanes),))
    )


def _track(region: str) -> Track:
    create = Create(cause="it is missing", config=MachineConfig(image="nginx", env={"KEY": "hunter2"}))
    machine = DesiredMachine(name=f"v1-{region}-1", region=region, number=1)
    return Track(machine=machine, steps=(create, AwaitStarted(cause="it was created")))


def progress(region: str, phase: Phase, **more: Any) -> Progress:
    return Progress(**{"at": 1.0, "name": f"v1-{region}-1", "asked": region, "region": region, "phase": phase, **more})


def queued(machine: str | None = None, identifier: str = "web") -> Queued:
    span = Span("machine", machine, None) if machine else None
    return Queued(operation="machines.create", identifier=identifier, number=1, span=span)


def dequeued(event: Queued) -> Dequeued:
    return Dequeued.of(event, waited=1.0, granted=True)


def attempt(**changes: Any) -> Attempt:
    values: dict[str, Any] = {"operation": "machines.create", "identifier": "web", "number": 1, "waited": 0.0}
    return Attempt(**{**values, "seconds": 0.1, "status": 200, "request_id": "01ABC", "error": None, **changes})


@asynccontextmanager
async def reading(feed: EventFeed) -> AsyncIterator[AsyncIterator[Message]]:
    messages = feed.read()
    try:
        yield messages
    finally:
        await messages.aclose()


async def everything(feed: EventFeed) -> list[dict[str, Any]]:
    """Close a feed, and return the events that a page gets which is opened now."""
    await feed.close(0.0)
    return [event for _, message in [each async for each in feed.read()] for event in message.get("events", ())]
