"""Machines and their events, as the API shows them."""

from typing import Any

from flyasync.models.json.codec import structure
from flyasync.models.machine import Machine


def a_machine(state: str, *, id_: str = "m1", version: str = "01A", events: Any = None) -> Machine:
    return structure(
        {"id": id_, "name": id_, "state": state, "region": "iad", "instance_id": version, "events": events}, Machine
    )


def an_exit(timestamp: int, **exit_event: Any) -> dict[str, Any]:
    return {"type": "exit", "timestamp": timestamp, "request": {"exit_event": exit_event}}


def an_event(timestamp: int, kind: str) -> dict[str, Any]:
    return {"type": kind, "timestamp": timestamp}
