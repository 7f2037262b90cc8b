"""What every request to the emulated API passes: latency, authorization, faults, the published limits, the work."""

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
from flyasync.emulator.core.rate_limits import OperationLimits
from flyasync.emulator.core.regions import NEAREST
from flyasync.emulator.http import replication
from flyasync.emulator.http.handler import Handler, LongHandler
from flyasync.emulator.http.request import ApiRequest, ApiResponse, error_response
from flyasync.emulator.http.request_log import LoggedRequest, RequestLog
from flyasync.emulator.http.scheduler import Scheduler
from flyasync.emulator.world import tokens

_NONCE = "fly-machine-lease-nonce"
_AFFINITY = "fly_flaps_affinity"
_LAGGING = frozenset({"listMachines", "listMachinesOrg", "listVolumes"})


@frozen(kw_only=True)
class HttpOptions:
    """How the emulator treats requests: seconds of latency, drawn between two bounds, and the limits."""

    latency: tuple[float, float] = (0.0, 0.0)
    has_limits: bool = True
    tells_retry_after: bool = False
    seed: int = 0


@define
class _InFlight:
    """A request on its way: when it came, and what has happened to it so far."""

    seq: int
    at: float
    http: web.Request
    request: ApiRequest
    faults: list[str] = field(factory=list)
    is_limited: bool = False
    is_logged: bool = False

    def struck(self, fault: Fault) -> None:
        """Note a fault that strikes the request; a stale list shows what was known `seconds` ago."""
        self.faults.append(fault.does)
        if fault.does in LISTS:
            self.request = evolve(self.request, behind=fault.seconds)

    def limited(self) -> None:
        """Note that the published limits refuse the request."""
        self.is_limited = True

    def entry(self, status: int | None) -> LoggedRequest | None:
        """Return the entry for the log; None for a request that has been logged already."""
        # The first one counts: a lost answer is logged when its work is done, and its client gives up later.
        if self.is_logged:
            return None
        self.is_logged = True
        return LoggedRequest(
            seq=self.seq,
            at=round(self.at, 3),
            action=self.request.action,
            identifier=self.request.identifier,
            method=self.http.method,
            path=self.http.path,
            status=status,
            faults=tuple(self.faults),
            is_limited=self.is_limited,
        )


class ApiMiddleware:
    """Serves requests with the handlers it is given, and logs how each ended."""

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

    def __repr__(self) -> str:
        return (
            f"<ApiMiddleware: {len(self._inside)} requests inside, {len(self._late)} to be repeated, {self.faults!r}>"
        )

    def reset(self) -> None:
        """Forget every request, those to be repeated later too, and draw the same numbers again."""
        for late in self._late:
            late.cancel()
        self.request_log = RequestLog()
        self._limits = OperationLimits()
        self._latency = ids.seeded(self._options.seed, "latency")
        self._request_ids = ids.seeded(self._options.seed, "requests")

    async def serve(self, action: str, http: web.Request) -> web.StreamResponse:
        """Serve one request."""
        seq, at = self.request_log.arrive(), self.scheduler.seconds()
        task = cast("asyncio.Task[object]", asyncio.current_task())
        self._inside[task] = http
        inflight: _InFlight | None = None
        try:
            inflight = _InFlight(seq, at, http, await _read(action, http))
            return await self._answer(inflight)
        finally:
            del self._inside[task]
            # Only a request whose client has gone, or that the emulator drops, is not logged by now.
            if inflight is not None:
                self._log(inflight, None)

    def note_stray(self, http: web.Request, status: int) -> None:
        """Log a request that no operation of the API answers to."""
        request = ApiRequest(action="unknown", method=http.method, params={}, query={})
        self._log(_InFlight(self.request_log.arrive(), self.scheduler.seconds(), http, request), status)

    async def drop_all(self) -> None:
        """Close the connection of every request that is still inside, and wait until they have ended."""
        for http in self._inside.values():
            _close(http)
        for late in self._late:
            late.cancel()
        if left := [*self._inside, *self._late]:
            await asyncio.wait(left, timeout=1)

    async def _answer(self, inflight: _InFlight) -> web.StreamResponse:
        # 1. It travels.
        await asyncio.sleep(self._latency.uniform(*self._options.latency))
        subject = inflight.request.subject(self.scheduler.world)
        try:
            # 2. Who does not say who it is learns nothing else.
            tokens.demand_authorized(inflight.request.authorization)
            # 3. Faults that come before the work. A request that they end never reached the limits: no permit is used.
            for fault in self.faults.strike(BEFORE, subject):
                inflight.struck(fault)
                if fault.does == "refuse":
                    return self._respond(inflight, _response_of(fault))
                if fault.does == "cut":
                    return self._cut(inflight, None)
                if fault.does == "repeat":
                    await self._deliver(inflight.request)
                await asyncio.sleep(fault.seconds)
            # 4. A list may show the past, which is kept from the first request on that finds such a fault in force.
            if self.faults.include(LISTS):
                with self.scheduler.present() as world:
                    world.keep_past()
                if inflight.request.action in _LAGGING and (stale := next(self.faults.strike(LISTS, subject), None)):
                    inflight.struck(stale)
            # 5. The published limits.
            if wait := self._wait(inflight.request):
                inflight.limited()
                headers = {"Retry-After": str(math.ceil(wait))} if self._options.tells_retry_after else {}
                limited = ApiResponse(status=429, body={"error": "rate limit exceeded"}, headers=headers)
                return self._respond(inflight, limited)
            # 6. The work.
            response = await self._work(inflight.request)
        except ApiError as error:
            response = error_response(error)
        # 7. Faults that come after the work, and the answer.
        return await self._leave(inflight, subject, response)

    async def _leave(self, inflight: _InFlight, subject: Subject, response: ApiResponse) -> web.StreamResponse:
        """Answer a request whose work is done, unless a fault stands in the way of the answer."""
        fault = next(self.faults.strike(AFTER, subject), None)
        if fault is None:
            return self._respond(inflight, response)
        inflight.struck(fault)
        if fault.does == "cut_after":
            return self._cut(inflight, response.status)
        if fault.does == "refuse_after":
            return self._respond(inflight, _response_of(fault))
        if fault.does == "repeat_after":
            late = asyncio.create_task(self._deliver(inflight.request, after=fault.seconds))
            self._late.add(late)
            late.add_done_callback(self._late.discard)
            return self._respond(inflight, response)
        # Lost: the client waits until it gives up, which cancels this.
        self._log(inflight, response.status)
        await asyncio.get_running_loop().create_future()
        raise RuntimeError("an answer that was lost came back")

    async def _deliver(self, request: ApiRequest, *, after: float = 0.0) -> None:
        """Do the work of a request as a server does that is sent a copy of it; no client sees the answer."""
        if after:
            await asyncio.sleep(after)
        if not self._wait(request):
            with suppress(ApiError):
                await self._work(request)

    def _wait(self, request: ApiRequest) -> float:
        """Take a permit and return 0, or return the seconds until there is one."""
        if not self._options.has_limits:
            return 0.0
        return self._limits.wait(request.action, request.identifier, now=self.scheduler.seconds())

    async def _work(self, request: ApiRequest) -> ApiResponse:
        long_handler = self._long_handlers.get(request.action)
        with self.scheduler.present() as world:
            replication.demand_reachable(world, request)
            if long_handler is None:
                response = self._handlers[request.action](world, request)
        if long_handler is not None:
            return await long_handler(self.scheduler, request)
        if response.seconds:
            await self.scheduler.until(self.scheduler.world.clock + response.seconds)
        return response

    def _respond(self, inflight: _InFlight, response: ApiResponse) -> web.Response:
        self._log(inflight, response.status)
        # Clients show this id in their errors; Fly's support asks for it.
        request_id = f"{ids.ulid(self._request_ids, inflight.at)}-{NEAREST}"
        headers = {"fly-request-id": request_id, **response.headers}
        if response.body is None:
            return web.Response(status=response.status, headers=headers)
        if isinstance(response.body, str):
            return web.Response(status=response.status, headers=headers, text=response.body)
        body = json.dumps(response.body).encode()
        return web.Response(status=response.status, headers=headers, body=body, content_type="application/json")

    def _cut(self, inflight: _InFlight, status: int | None) -> web.Response:
        self._log(inflight, status)
        _close(inflight.http)
        return web.Response()

    def _log(self, inflight: _InFlight, status: int | None) -> None:
        if entry := inflight.entry(status):
            self.request_log.write(entry)


async def body_of(http: web.Request) -> bytes:
    """Return the body of a request; one that is not in the encoding that it states raises 400."""
    try:
        return await http.read()
    except (web.RequestPayloadError, BadHttpMessage):
        raise bad_request(f"invalid body: it is not {http.headers.get('Content-Encoding', 'complete')}") from None


async def _read(action: str, http: web.Request) -> ApiRequest:
    # Repeated keys or one list with commas: the documentation has both.
    states = [word.strip() for text in http.query.getall("state", []) for word in text.split(",")]
    return ApiRequest(
        action=action,
        method=http.method,
        params=http.match_info,
        query=http.query,
        states=tuple(word for word in states if word),
        raw=await body_of(http),
        authorization=http.headers.get("Authorization", ""),
        nonce=http.headers.get(_NONCE) or None,
        affinity=http.cookies.get(_AFFINITY, ""),
    )


def _response_of(fault: Fault) -> ApiResponse:
    return ApiResponse(status=fault.status, body=fault.body, headers=fault.headers)


def _close(http: web.Request) -> None:
    # Without a goodbye, as a proxy or a network that fails: the client sees a reset.
    if http.transport is not None:
        http.transport.abort()
