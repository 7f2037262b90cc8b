"""The one way in: every request passes here, in the same order of things.

Latency, then authorization, then faults that come before the work, then the published limits, then the work, then
faults that come after it. A request struck down by a fault never reached the limits, so it uses no turn.
"""

import asyncio
import json
import math
from collections.abc import Mapping
from contextlib import suppress
from typing import cast

from aiohttp import web
from aiohttp.http_exceptions import BadHttpMessage
from attrs import define, evolve, field, frozen

from flyasync.emulator.core import ids
from flyasync.emulator.core.errors import Refused, bad_request
from flyasync.emulator.core.faults import AFTER, BEFORE, LISTS, Fault, Faults, Subject
from flyasync.emulator.core.rates import Rates
from flyasync.emulator.core.regions import NEAREST
from flyasync.emulator.http import replication as sight
from flyasync.emulator.http.handler import Handler, LongHandler
from flyasync.emulator.http.request import Answer, Ask, demand_authorized, refusal
from flyasync.emulator.http.request_log import Entry, Journal
from flyasync.emulator.http.scheduler import Pulse

_NONCE = "fly-machine-lease-nonce"
_AFFINITY = "fly_flaps_affinity"
_LAGGING = frozenset({"listMachines", "listMachinesOrg", "listVolumes"})


class _Struck(Exception):
    """A fault stands in the way of the work: it answers instead, or with None cuts the connection."""

    def __init__(self, answer: Answer | None) -> None:
        super().__init__()
        self.answer = answer


@frozen(kw_only=True)
class Manners:
    """How the emulator treats requests: seconds of latency, drawn between two bounds, and the limits."""

    latency: tuple[float, float] = (0.0, 0.0)
    has_limits: bool = True
    tells_retry_after: bool = False
    seed: int = 0


@define
class _Visit:
    seq: int
    at: float
    request: web.Request
    ask: Ask
    faults: list[str] = field(factory=list)
    is_limited: bool = False
    is_logged: bool = False


class Gate:
    """Serves requests with the handlers it is given, and remembers what came of each."""

    def __init__(
        self,
        pulse: Pulse,
        faults: Faults,
        *,
        manners: Manners,
        handlers: Mapping[str, Handler],
        long_handlers: Mapping[str, LongHandler],
    ) -> None:
        self.pulse = pulse
        self.faults = faults
        self._manners = manners
        self._handlers = handlers
        self._long_handlers = long_handlers
        self._inside: dict[asyncio.Task[object], web.Request] = {}
        self._late: set[asyncio.Task[None]] = set()
        self.reset()

    def reset(self) -> None:
        """Forget every request, what was to be delivered later too, and draw the same numbers again."""
        for late in self._late:
            late.cancel()
        self.journal = Journal()
        self._rates = Rates()
        self._latency = ids.seeded(self._manners.seed, "latency")
        self._request_ids = ids.seeded(self._manners.seed, "requests")

    async def serve(self, action: str, request: web.Request) -> web.StreamResponse:
        """Take one request through the gate."""
        seq, at = self.journal.arrive(), self.pulse.seconds()
        task = cast("asyncio.Task[object]", asyncio.current_task())
        self._inside[task] = request
        visit: _Visit | None = None
        try:
            visit = _Visit(seq, at, request, await _read(action, request))
            return await self._pass(visit)
        finally:
            del self._inside[task]
            if visit is not None:
                self._log(visit, None)

    def note_stray(self, request: web.Request, status: int) -> None:
        """Remember a request that no operation of the API answers to."""
        ask = Ask(action="unknown", method=request.method, params={}, query={})
        self._log(_Visit(self.journal.arrive(), self.pulse.seconds(), request, ask), status)

    async def drop_all(self) -> None:
        """Close the connection of every request that is still inside, and see them out."""
        for request in self._inside.values():
            _cut(request)
        for late in self._late:
            late.cancel()
        if left := [*self._inside, *self._late]:
            await asyncio.wait(left, timeout=1)

    async def _pass(self, visit: _Visit) -> web.StreamResponse:
        await asyncio.sleep(self._latency.uniform(*self._manners.latency))
        subject = visit.ask.subject(self.pulse.world)
        try:
            answer = await self._admit_and_work(visit, subject)
        except _Struck as struck:
            return self._cut_off(visit, None) if struck.answer is None else self._tell(visit, struck.answer)
        return await self._leave(visit, subject, answer)

    async def _admit_and_work(self, visit: _Visit, subject: Subject) -> Answer:
        try:
            demand_authorized(visit.ask.authorization)
            await self._meet(visit, subject)
            self._lag(visit, subject)
            if self._manners.has_limits:
                self._limit(visit)
            return await self._work(visit.ask)
        except Refused as refused:
            return refusal(refused)

    async def _meet(self, visit: _Visit, subject: Subject) -> None:
        for fault in self.faults.strike(BEFORE, subject):
            visit.faults.append(fault.does)
            if fault.does == "delay":
                await asyncio.sleep(fault.seconds)
            elif fault.does == "repeat":
                await self._deliver(visit.ask)
                await asyncio.sleep(fault.seconds)
            else:
                raise _Struck(_refusal_of(fault) if fault.does == "refuse" else None)

    def _lag(self, visit: _Visit, subject: Subject) -> None:
        if not self.faults.include(LISTS):
            return
        self.pulse.during(self.pulse.world.keep_past)
        if visit.ask.action in _LAGGING and (fault := next(self.faults.strike(LISTS, subject), None)):
            visit.faults.append(fault.does)
            visit.ask = evolve(visit.ask, behind=fault.seconds)

    async def _deliver(self, ask: Ask) -> None:
        """Do the work of a request as the server does that is sent a copy of it; no client sees the answer."""
        if self._manners.has_limits and self._rates.wait(ask.action, ask.identifier, now=self.pulse.seconds()):
            return
        with suppress(Refused):
            await self._work(ask)

    async def _deliver_later(self, ask: Ask, seconds: float) -> None:
        await asyncio.sleep(seconds)
        await self._deliver(ask)

    def _limit(self, visit: _Visit) -> None:
        wait = self._rates.wait(visit.ask.action, visit.ask.identifier, now=self.pulse.seconds())
        if wait:
            visit.is_limited = True
            headers = {"Retry-After": str(math.ceil(wait))} if self._manners.tells_retry_after else {}
            raise _Struck(Answer(status=429, body={"error": "rate limit exceeded"}, headers=headers))

    async def _work(self, ask: Ask) -> Answer:
        if ask.action in self._long_handlers:
            self.pulse.during(lambda: sight.demand(self.pulse.world, ask))
            return await self._long_handlers[ask.action](ask)
        answer = self.pulse.during(lambda: self._handle(ask))
        if answer.seconds:
            await self.pulse.until(self.pulse.world.clock + answer.seconds)
        return answer

    def _handle(self, ask: Ask) -> Answer:
        sight.demand(self.pulse.world, ask)
        return self._handlers[ask.action](self.pulse.world, ask)

    async def _leave(self, visit: _Visit, subject: Subject, answer: Answer) -> web.StreamResponse:
        fault = next(self.faults.strike(AFTER, subject), None)
        if fault is None:
            return self._tell(visit, answer)
        visit.faults.append(fault.does)
        if fault.does == "cut_after":
            return self._cut_off(visit, answer.status)
        if fault.does == "refuse_after":
            return self._tell(visit, _refusal_of(fault))
        if fault.does == "repeat_after":
            late = asyncio.create_task(self._deliver_later(visit.ask, fault.seconds))
            self._late.add(late)
            late.add_done_callback(self._late.discard)
            return self._tell(visit, answer)
        self._log(visit, answer.status)
        await asyncio.get_running_loop().create_future()
        raise RuntimeError("an answer that was lost came back")

    def _tell(self, visit: _Visit, answer: Answer) -> web.Response:
        self._log(visit, answer.status)
        request_id = f"{ids.ulid(self._request_ids, visit.at)}-{NEAREST}"
        return _response(answer, {"fly-request-id": request_id})

    def _cut_off(self, visit: _Visit, status: int | None) -> web.Response:
        self._log(visit, status)
        _cut(visit.request)
        return web.Response()

    def _log(self, visit: _Visit, status: int | None) -> None:
        if visit.is_logged:
            return
        visit.is_logged = True
        entry = Entry(
            seq=visit.seq,
            at=round(visit.at, 3),
            action=visit.ask.action,
            identifier=visit.ask.identifier,
            method=visit.request.method,
            path=visit.request.path,
            status=status,
            faults=tuple(visit.faults),
            is_limited=visit.is_limited,
        )
        self.journal.write(entry)


async def body_of(request: web.Request) -> bytes:
    """Read a body; one that is not in the encoding that it states is refused with 400."""
    try:
        return await request.read()
    except (web.RequestPayloadError, BadHttpMessage):
        raise bad_request(f"invalid body: it is not {request.headers.get('Content-Encoding', 'complete')}") from None


async def _read(action: str, request: web.Request) -> Ask:
    states = [word.strip() for text in request.query.getall("state", []) for word in text.split(",")]
    return Ask(
        action=action,
        method=request.method,
        params=request.match_info,
        query=request.query,
        states=tuple(word for word in states if word),
        raw=await body_of(request),
        authorization=request.headers.get("Authorization", ""),
        nonce=request.headers.get(_NONCE) or None,
        affinity=request.cookies.get(_AFFINITY, ""),
    )


def _refusal_of(fault: Fault) -> Answer:
    return Answer(status=fault.status, body=fault.body, headers=fault.headers)


def _response(answer: Answer, headers: Mapping[str, str]) -> web.Response:
    merged = {**headers, **answer.headers}
    if answer.body is None:
        return web.Response(status=answer.status, headers=merged)
    if isinstance(answer.body, str):
        return web.Response(status=answer.status, headers=merged, text=answer.body)
    body = json.dumps(answer.body).encode()
    return web.Response(status=answer.status, headers=merged, body=body, content_type="application/json")


def _cut(request: web.Request) -> None:
    if request.transport is not None:
        request.transport.abort()
