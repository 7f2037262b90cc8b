"""The emulator's own door, `/_emulator/`: what was asked, faults, capacity, reset; no token needed, nothing logged."""

from collections.abc import Callable
from typing import Any

from aiohttp import web
from attrs import frozen

from flyasync.emulator.errors import Refused, bad_request
from flyasync.emulator.faults import Fault
from flyasync.emulator.gate import Gate
from flyasync.emulator.gojson import check, decode, parse

_CAPACITY = {"region": "string", "machines": "int"}


@frozen
class Control:
    """The control calls over a gate; `set_capacity` and `reset` are the emulator's."""

    gate: Gate
    set_capacity: Callable[[str, int | None], None]
    reset: Callable[[], None]

    def routes(self) -> list[web.RouteDef]:
        """Give the control calls."""
        return [
            web.get("/_emulator/counts", self.counts, allow_head=False),
            web.get("/_emulator/log", self.log, allow_head=False),
            web.get("/_emulator/faults", self.faults, allow_head=False),
            web.post("/_emulator/faults", self.add_faults),
            web.delete("/_emulator/faults", self.clear_faults),
            web.post("/_emulator/capacity", self.capacity),
            web.post("/_emulator/reset", self.start_over),
        ]

    async def counts(self, _: web.Request) -> web.Response:
        """Count the requests of each action and identifier."""
        return web.json_response({"counts": self.gate.journal.counts_as_json()})

    async def log(self, request: web.Request) -> web.Response:
        """List the requests, those after number `after` if that is given."""
        after = request.query.get("after", "0")
        if not after.isdecimal():
            raise bad_request(f"invalid after: {after!r}")
        return web.json_response({"log": self.gate.journal.log_as_json(int(after))})

    async def faults(self, _: web.Request) -> web.Response:
        """List the faults in force."""
        return web.json_response({"faults": self.gate.faults.as_json()})

    async def add_faults(self, request: web.Request) -> web.Response:
        """Put one fault, or a list of them, in force."""
        asked = parse(await request.read())
        found = [_fault(item) for item in (asked if isinstance(asked, list) else [asked])]
        self.gate.faults.add(*found)
        return web.json_response({"faults": self.gate.faults.as_json()}, status=201)

    async def clear_faults(self, _: web.Request) -> web.Response:
        """End all trouble."""
        self.gate.faults.clear()
        return web.Response(status=204)

    async def capacity(self, request: web.Request) -> web.Response:
        """Set how many machines a region can hold, null for any number."""
        body = decode(await request.read(), "capacity")
        check(body, _CAPACITY, "capacity")
        try:
            self.set_capacity(body.get("region") or "", body.get("machines"))
        except ValueError as error:
            raise bad_request(str(error)) from None
        return web.Response(status=204)

    async def start_over(self, _: web.Request) -> web.Response:
        """Make everything as it was at the start."""
        self.reset()
        return web.Response(status=204)


def _fault(value: Any) -> Fault:
    if not isinstance(value, dict):
        raise bad_request("a fault is an object")
    try:
        return Fault(**value)
    except (TypeError, ValueError) as error:
        raise Refused(400, f"no such fault: {error.args[0]}") from None
