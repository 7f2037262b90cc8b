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
from flyasync.emulator.core.errors import ApiError, bad_request
from flyasync.emulator.core.faults import AFTER, BEFORE, LISTS, Fault, Faults, Subject
from flyasync.emulator.core.rates import OperationLimits
from flyasync.emulator.core.regions import NEAREST
from flyasync.emulator.http import replication as sight
from flyasync.emulator.http.handler import Handler, LongHandler
from flyasync.emulator.http.request import ApiRequest, ApiResponse, demand_authorized, error_response
from flyasync.emulator.http.request_log import LoggedRequest, RequestLog
from flyasync.emulator.http.scheduler import Scheduler

_NONCE = "fly-machine-lease-nonce"
_AFFINITY = "fly_flaps_affinity"
_LAGGING = frozenset({"listMachines", "listMachinesOrg", "listVolumes"})


class _FaultStruck(Exception):
    """A fault stands in the way of the work: it answers instead, or with None cuts the connection."""

    def __init__(self, answer: ApiResponse | None) -> None:
        super().__init__()
        self.answer = answer


@frozen(kw_only=True)
class HttpOptions:
    """How the emulator treats requests: seconds of latency, drawn between two bounds, and the limits."""

    latency: tuple[float, float] = (0.0, 0.0)
    has_limits: bool = True
    tells_retry_after: bool = False
    seed: int = 0


@define
class _InFlight:
    seq: int
    at: float
    request: web.Request
    ask: ApiRequest
    faults: list[str] = field(factory=list)
    is_limited: bool = False
    is_logged: bool = False


class ApiMiddleware:
    """Serves requests with the handlers it is given, and remembers what came of each."""

    def __init__(
        self,
        scheduler: Scheduler,
        faults: Faults,
        *,
        options: HttpOptions,
        handlers: Mapping[str, Handler],
        long_handlers: Mapping[str, LongHandler],
    ) -> None:
        self.scheduler = scheduler
        self.faults = faults
        self._options = options
        self._handlers = handlers
        self._long_handlers = long_handlers
        self._inside: dict[asyncio.Task[object], web.Request] = {}
        self._late: set[asyncio.Task[None]] = set()
        self.reset()

    def reset(self) -> None:
        """Forget every request, what was to be delivered later too, and draw the same numbers again."""
        for late in self._late:
            late.cancel()
        self.request_log = RequestLog()
        self._rates = OperationLimits()
        self._latency = ids.seeded(self._options.seed, "latency")
        self._request_ids = ids.seeded(self._options.seed, "requests")

    async def serve(self, action: str, request: web.Request) -> web.StreamResponse:
        """Take one request through the gate."""
        seq, at = self.request_log.arrive(), self.scheduler.seconds()
        task = cast("asyncio.Task[object]", asyncio.current_task())
        self._inside[task] = request
        inflight: _InFlight | None = None
        try:
            inflight = _InFlight(seq, at, request, await _read(action, request))
            return await self._pass(inflight)
        finally:
            del self._inside[task]
            if inflight is not None:
                self._log(inflight, None)

    def note_stray(self, request: web.Request, status: int) -> None:
        """Remember a request that no operation of the API answers to."""
        ask = ApiRequest(action="unknown", method=request.method, params={}, query={})
        self._log(_InFlight(self.request_log.arrive(), self.scheduler.seconds(), request, ask), status)

    async def drop_all(self) -> None:
        """Close the connection of every request that is still inside, and see them out."""
        for request in self._inside.values():
            _cut(request)
        for late in self._late:
            late.cancel()
        if left := [*self._inside, *self._late]:
            await asyncio.wait(left, timeout=1)

    async def _pass(self, inflight: _InFlight) -> web.StreamResponse:
        await asyncio.sleep(self._latency.uniform(*self._options.latency))
        subject = inflight.ask.subject(self.scheduler.world)
        try:
            answer = await self._admit_and_work(inflight, subject)
        except _FaultStruck as struck:
            return self._cut_off(inflight, None) if struck.answer is None else self._tell(inflight, struck.answer)
        return await self._leave(inflight, subject, answer)

    async def _admit_and_work(self, inflight: _InFlight, subject: Subject) -> ApiResponse:
        try:
            demand_authorized(inflight.ask.authorization)
            await self._meet(inflight, subject)
            self._lag(inflight, subject)
            if self._options.has_limits:
                self._limit(inflight)
            return await self._work(inflight.ask)
        except ApiError as error:
            return error_response(error)

    async def _meet(self, inflight: _InFlight, subject: Subject) -> None:
        for fault in self.faults.strike(BEFORE, subject):
            inflight.faults.append(fault.does)
            if fault.does == "delay":
                await asyncio.sleep(fault.seconds)
            elif fault.does == "repeat":
                await self._deliver(inflight.ask)
                await asyncio.sleep(fault.seconds)
            else:
                raise _FaultStruck(_refusal_of(fault) if fault.does == "refuse" else None)

    def _lag(self, inflight: _InFlight, subject: Subject) -> None:
        if not self.faults.include(LISTS):
            return
        self.scheduler.during(self.scheduler.world.keep_past)
        if inflight.ask.action in _LAGGING and (fault := next(self.faults.strike(LISTS, subject), None)):
            inflight.faults.append(fault.does)
            inflight.ask = evolve(inflight.ask, behind=fault.seconds)

    async def _deliver(self, ask: ApiRequest) -> None:
        """Do the work of a request as the server does that is sent a copy of it; no client sees the answer."""
        if self._options.has_limits and self._rates.wait(ask.action, ask.identifier, now=self.scheduler.seconds()):
            return
        with suppress(ApiError):
            await self._work(ask)

    async def _deliver_later(self, ask: ApiRequest, seconds: float) -> None:
        await asyncio.sleep(seconds)
        await self._deliver(ask)

    def _limit(self, inflight: _InFlight) -> None:
        wait = self._rates.wait(inflight.ask.action, inflight.ask.identifier, now=self.scheduler.seconds())
        if wait:
            inflight.is_limited = True
            headers = {"Retry-After": str(math.ceil(wait))} if self._options.tells_retry_after else {}
            raise _FaultStruck(ApiResponse(status=429, body={"error": "rate limit exceeded"}, headers=headers))

    async def _work(self, ask: ApiRequest) -> ApiResponse:
        if ask.action in self._long_handlers:
            self.scheduler.during(lambda: sight.demand(self.scheduler.world, ask))
            return await self._long_handlers[ask.action](ask)
        answer = self.scheduler.during(lambda: self._handle(ask))
        if answer.seconds:
            await self.scheduler.until(self.scheduler.world.clock + answer.seconds)
        return answer

    def _handle(self, ask: ApiRequest) -> ApiResponse:
        sight.demand(self.scheduler.world, ask)
        return self._handlers[ask.action](self.scheduler.world, ask)

    async def _leave(self, inflight: _InFlight, subject: Subject, answer: ApiResponse) -> web.StreamResponse:
        fault = next(self.faults.strike(AFTER, subject), None)
        if fault is None:
            return self._tell(inflight, answer)
        inflight.faults.append(fault.does)
        if fault.does == "cut_after":
            return self._cut_off(inflight, answer.status)
        if fault.does == "refuse_after":
            return self._tell(inflight, _refusal_of(fault))
        if fault.does == "repeat_after":
            late = asyncio.create_task(self._deliver_later(inflight.ask, fault.seconds))
            self._late.add(late)
            late.add_done_callback(self._late.discard)
            return self._tell(inflight, answer)
        self._log(inflight, answer.status)
        await asyncio.get_running_loop().create_future()
        raise RuntimeError("an answer that was lost came back")

    def _tell(self, inflight: _InFlight, answer: ApiResponse) -> web.Response:
        self._log(inflight, answer.status)
        request_id = f"{ids.ulid(self._request_ids, inflight.at)}-{NEAREST}"
        return _response(answer, {"fly-request-id": request_id})

    def _cut_off(self, inflight: _InFlight, status: int | None) -> web.Response:
        self._log(inflight, status)
        _cut(inflight.request)
        return web.Response()

    def _log(self, inflight: _InFlight, status: int | None) -> None:
        if inflight.is_logged:
            return
        inflight.is_logged = True
        entry = LoggedRequest(
            seq=inflight.seq,
            at=round(inflight.at, 3),
            action=inflight.ask.action,
            identifier=inflight.ask.identifier,
            method=inflight.request.method,
            path=inflight.request.path,
            status=status,
            faults=tuple(inflight.faults),
            is_limited=inflight.is_limited,
        )
        self.request_log.write(entry)


async def body_of(request: web.Request) -> bytes:
    """Read a body; one that is not in the encoding that it states is refused with 400."""
    try:
        return await request.read()
    except (web.RequestPayloadError, BadHttpMessage):
        raise bad_request(f"invalid body: it is not {request.headers.get('Content-Encoding', 'complete')}") from None


async def _read(action: str, request: web.Request) -> ApiRequest:
    states = [word.strip() for text in request.query.getall("state", []) for word in text.split(",")]
    return ApiRequest(
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


def _refusal_of(fault: Fault) -> ApiResponse:
    return ApiResponse(status=fault.status, body=fault.body, headers=fault.headers)


def _response(answer: ApiResponse, headers: Mapping[str, str]) -> web.Response:
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
