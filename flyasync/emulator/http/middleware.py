"""The steps of every request to the emulated API: latency, authorization, faults, rate limits, the work."""

import asyncio
import json
import math
from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from typing import cast

from aiohttp import web
from aiohttp.http_exceptions import BadHttpMessage
from attrs import define, evolve, field, frozen

from flyasync.emulator.core import ids, refusals
from flyasync.emulator.core.errors import ApiError, bad_request
from flyasync.emulator.core.faults import AFTER, BEFORE, LISTS, REFUSALS, Fault, Faults, Subject
from flyasync.emulator.core.ranges import Range, is_range
from flyasync.emulator.core.rate_limits import OperationLimits
from flyasync.emulator.core.regions import NEAREST
from flyasync.emulator.http import replication
from flyasync.emulator.http.handler import Handler, LongHandler
from flyasync.emulator.http.request import ApiRequest, ApiResponse, error_response
from flyasync.emulator.http.request_log import LoggedRequest, RequestLog
from flyasync.emulator.http.scheduler import Scheduler
from flyasync.emulator.replay.playback import Answer, Playback, SentRequest
from flyasync.emulator.world import authorization, images
from flyasync.emulator.world.world import World

_NONCE = "fly-machine-lease-nonce"
_AFFINITY = "fly_flaps_affinity"
# The statuses of a request whose path or method no operation has.
_UNKNOWN = frozenset({404, 405})
_LAGGING = frozenset({"listMachines", "listMachinesOrg", "listVolumes", "listVolumesOrg", "listApps"})


@frozen(kw_only=True)
class HttpOptions:
    """Options for requests: bounds of the latency in seconds, and the rate limits."""

    latency: Range = field(default=(0.0, 0.0), validator=is_range)
    has_limits: bool = True
    sends_retry_after: bool = False
    seed: int = 0


@define
class _InFlight:
    """A request in progress: its arrival, and the faults and limits applied so far."""

    seq: int
    at: float
    http: web.BaseRequest
    request: ApiRequest
    faults: list[str] = field(factory=list)
    is_limited: bool = False
    is_logged: bool = False
    recorded: tuple[Fault, ...] = ()
    _subject: Subject | None = None

    def subject(self, world: World) -> Subject:
        """Return what faults are matched with, as it was when this was first called."""
        if self._subject is None:
            self._subject = self.request.subject(world)
        return self._subject

    def fare(self, recorded: Iterable[Fault]) -> None:
        """Let the request fare as in a recording."""
        self.recorded = tuple(recorded)

    def faults_of(self, kinds: frozenset[str], faults: Faults, world: World) -> Iterator[Fault]:
        """Yield the faults of these kinds that apply: those of a recording, then the active ones."""
        yield from (each for each in self.recorded if each.does in kinds)
        yield from faults.strike(kinds, self.subject(world))

    def struck(self, fault: Fault) -> None:
        """Record a fault that applies to the request; a stale list shows the state of `seconds` ago."""
        self.faults.append(fault.does)
        if fault.does in LISTS:
            self.lags(fault.seconds)

    def lags(self, seconds: float) -> None:
        """Record that the list shows the state of `seconds` ago."""
        self.request = evolve(self.request, behind=seconds)

    def limited(self) -> None:
        """Record that the rate limits refuse the request."""
        self.is_limited = True

    def entry(self, status: int | None, not_served: tuple[str, ...] = ()) -> LoggedRequest | None:
        """Return the entry for the log; None if the request is already logged."""
        # Only the first one is used: a lost response is logged when its work is done, before the client gives up.
        if self.is_logged:
            return None
        self.is_logged = True
        request, http = self.request, self.http
        return LoggedRequest(
            self.seq,
            round(self.at, 3),
            request.action,
            request.identifier,
            http.method,
            http.path,
            status,
            tuple(self.faults),
            self.is_limited,
            not_served,
        )


class ApiMiddleware:
    """Serves requests with the given handlers, and logs the result of each."""

    def __init__(
        self,
        scheduler: Scheduler,
        faults: Faults,
        *,
        options: HttpOptions,
        handlers: Mapping[str, Handler],
        long_handlers: Mapping[str, LongHandler],
        playback: Playback | None = None,
    ) -> None:
        self._playback = playback
        self.scheduler = scheduler
        self.faults = faults
        self._options = options
        self._handlers = handlers
        self._long_handlers = long_handlers
        self._inside: dict[asyncio.Task[object], web.BaseRequest] = {}
        self._late: set[asyncio.Task[None]] = set()
        self.reset()

    def __repr__(self) -> str:
        return (
            f"<ApiMiddleware: {len(self._inside)} requests inside, {len(self._late)} to be repeated, {self.faults!r}>"
        )

    def reset(self) -> None:
        """Drop the log, the limits and the pending repeats, and restart the random numbers."""
        for late in self._late:
            late.cancel()
        self.request_log = RequestLog()
        self._limits = OperationLimits()
        self._latency = ids.seeded(self._options.seed, "latency")
        self._lags = ids.seeded(self._options.seed, "lags")
        self._request_ids = ids.seeded(self._options.seed, "requests")

    async def serve(self, action: str, http: web.BaseRequest, params: Mapping[str, str]) -> web.StreamResponse:
        """Serve one request."""
        seq, at = self.request_log.arrive(), self.scheduler.seconds()
        task = cast("asyncio.Task[object]", asyncio.current_task())
        self._inside[task] = http
        inflight: _InFlight | None = None
        try:
            raw = await body_of(http) if http.can_read_body else b""
            inflight = _InFlight(seq, at, http, _read(action, http, params, raw))
            return await self._answer(inflight)
        finally:
            del self._inside[task]
            # Not logged yet: the client has disconnected, or the emulator drops the request.
            if inflight is not None and not inflight.is_logged:
                self._log(inflight, None)

    def note_stray(self, http: web.BaseRequest, status: int) -> None:
        """Log a request that matches no operation of the API."""
        request = ApiRequest(action="unknown", method=http.method, params={}, query={})
        unknown = (f"{http.method} {http.path}",) if status in _UNKNOWN else ()
        self._log(_InFlight(self.request_log.arrive(), self.scheduler.seconds(), http, request), status, unknown)

    def buckets_as_json(self) -> list[dict[str, object]]:
        """Return the buckets of the rate limits that are not empty."""
        return self._limits.as_json(now=self.scheduler.seconds())

    async def drop_all(self) -> None:
        """Close the connection of every request in progress, and wait until their tasks have ended."""
        for http in self._inside.values():
            _close(http)
        for late in self._late:
            late.cancel()
        if left := [*self._inside, *self._late]:
            await asyncio.wait(left, timeout=1)

    async def _answer(self, inflight: _InFlight) -> web.StreamResponse:
        if self._playback and (answer := self._recorded(self._playback, inflight)):
            return await self._play(inflight, answer)
        # 1. Latency.
        if self._options.latency[1]:
            await asyncio.sleep(self._latency.uniform(*self._options.latency))
        try:
            # 2. Authorization comes before any other error.
            self._authorize(inflight.request)
            # 3. Faults before the work. A request that they end does not reach the rate limits, so it takes no permit.
            if (self.faults or inflight.recorded) and (ended := await self._strike(inflight)) is not None:
                return ended
            # 4. Stale lists.
            self._lag(inflight)
            # 5. The rate limits.
            if wait := self._wait(inflight.request):
                inflight.limited()
                headers = {"Retry-After": str(math.ceil(wait))} if self._options.sends_retry_after else {}
                limited = ApiResponse(status=429, body={"error": "rate limit exceeded"}, headers=headers)
                return self._respond(inflight, limited)
            # 6. The work.
            response = await self._work(inflight.request)
        except ApiError as error:
            response = error_response(error)
        # 7. Faults after the work, and the response.
        may_fail = self.faults or inflight.recorded
        return await self._leave(inflight, response) if may_fail else self._respond(inflight, response)

    def _recorded(self, playback: Playback, inflight: _InFlight) -> Answer | None:
        """Return the recorded answer; None once the run has left the recording, and the world continues from there."""
        sent, now = _sent(inflight), self.scheduler.seconds()
        if answer := playback.answer(sent, now):
            return answer
        if not playback.is_over:
            self.scheduler.replace(playback.end(now, self.scheduler.world))
        inflight.fare(playback.faults(sent, inflight.subject(self.scheduler.world).name))
        return None

    async def _play(self, inflight: _InFlight, answer: Answer) -> web.StreamResponse:
        """Answer as recorded, at the recorded time."""
        self._log(inflight, answer.status, answered=b"" if answer.is_held else answer.body)
        if answer.is_held:
            await asyncio.get_running_loop().create_future()
        if answer.seconds:
            await asyncio.sleep(answer.seconds)
        if answer.status is None:
            return self._cut(inflight, None)
        return web.Response(status=answer.status, headers=answer.headers, body=answer.body)

    def _authorize(self, request: ApiRequest) -> None:
        if self.scheduler.world.tokens:
            with self.scheduler.present() as world:
                authorization.demand(world, request.authorization, request.access(world))
        else:
            authorization.demand_token(request.authorization)

    async def _strike(self, inflight: _InFlight) -> web.Response | None:
        """Apply the faults before the work; return the response if one of them ends the request."""
        subject = inflight.subject(self.scheduler.world)
        for fault in inflight.faults_of(BEFORE, self.faults, self.scheduler.world):
            inflight.struck(fault)
            if fault.does == "refuse":
                return self._respond(inflight, _response_of(fault))
            if fault.does in REFUSALS:
                raise refusals.error(fault, subject, retired=self.scheduler.world.retired)
            if fault.does == "cut":
                return self._cut(inflight, None)
            if fault.does == "move_tag":
                images.push(self.scheduler.world, subject.image)
            if fault.does == "repeat":
                await self._deliver(inflight.request)
            await asyncio.sleep(fault.seconds)
        return None

    def _lag(self, inflight: _InFlight) -> None:
        """Let a list show the past, by a fault or because nodes lag; recorded from the first request with either on."""
        lag = self.scheduler.world.lag
        if not lag[1] and not self.faults.include(LISTS):
            return
        with self.scheduler.present() as world:
            world.keep_past()
        if inflight.request.action not in _LAGGING:
            return
        if stale := next(self.faults.strike(LISTS, inflight.subject(world)), None):
            inflight.struck(stale)
        # Each list comes from some node, so a later list can be older.
        elif lag[1] and not replication.is_near(world.apps.get(inflight.request.app), inflight.request):
            inflight.lags(self._lags.uniform(*lag))

    async def _leave(self, inflight: _InFlight, response: ApiResponse) -> web.StreamResponse:
        """Send the response of a request whose work is done, unless a fault prevents it."""
        fault = next(inflight.faults_of(AFTER, self.faults, self.scheduler.world), None)
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
        # Lost: this waits until the client gives up, which cancels it.
        self._log(inflight, response.status)
        await asyncio.get_running_loop().create_future()
        raise RuntimeError("a lost response must not be sent")

    async def _deliver(self, request: ApiRequest, *, after: float = 0.0) -> None:
        """Do the work of a duplicate of a request; its response is discarded."""
        if after:
            await asyncio.sleep(after)
        if not self._wait(request):
            with suppress(ApiError):
                await self._work(request)

    def _wait(self, request: ApiRequest) -> float:
        """Take a permit and return 0, or return the seconds until the next permit."""
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
        body = _encoded(response.body)
        self._log(inflight, response.status, response.not_served, body)
        # Clients show this id in their errors, and Fly's support needs it.
        request_id = f"{ids.ulid(self._request_ids, inflight.at)}-{NEAREST}"
        headers = {"fly-request-id": request_id, **response.headers}
        if response.body is None:
            return web.Response(status=response.status, headers=headers)
        if isinstance(response.body, str):
            return web.Response(status=response.status, headers=headers, text=response.body)
        return web.Response(status=response.status, headers=headers, body=body, content_type="application/json")

    def _cut(self, inflight: _InFlight, status: int | None) -> web.Response:
        self._log(inflight, status)
        _close(inflight.http)
        return web.Response()

    def _log(
        self, inflight: _InFlight, status: int | None, not_served: tuple[str, ...] = (), answered: bytes = b""
    ) -> None:
        if entry := inflight.entry(status, not_served):
            self.request_log.write(entry, inflight.request.raw, answered)


async def body_of(http: web.BaseRequest) -> bytes:
    """Return the body of a request; raise 400 if it does not match its Content-Encoding."""
    try:
        return await http.read()
    except (web.RequestPayloadError, BadHttpMessage):
        raise bad_request(f"invalid body: it is not {http.headers.get('Content-Encoding', 'complete')}") from None


def _encoded(body: object) -> bytes:
    """Return the body of a response: bytes are JSON already, and a text is plain text."""
    match body:
        case bytes():
            return body
        case None:
            return b""
        case str():
            return body.encode()
    return json.dumps(body).encode()


def _read(action: str, http: web.BaseRequest, params: Mapping[str, str], raw: bytes) -> ApiRequest:
    headers = http.headers
    states: tuple[str, ...] = ()
    # Most requests have no query, no body and no cookie, and their absence is known without parsing anything.
    has_query = bool(http.rel_url.raw_query_string)
    if has_query and (asked := http.query.getall("state", ())):
        # Repeated keys or one comma-separated list: the documentation has both.
        states = tuple(word for text in asked for part in text.split(",") if (word := part.strip()))
    return ApiRequest(
        action=action,
        method=http.method,
        params=params,
        query=http.query if has_query else {},
        states=states,
        raw=raw,
        authorization=headers.get("Authorization", ""),
        nonce=headers.get(_NONCE) or None,
        affinity=http.cookies.get(_AFFINITY, "") if "Cookie" in headers else "",
    )


def _sent(inflight: _InFlight) -> SentRequest:
    http = inflight.http
    try:
        body = json.loads(inflight.request.raw) if inflight.request.raw else None
    except ValueError:
        body = None
    return SentRequest(
        method=http.method, path=http.raw_path.partition("?")[0], query=tuple(http.query.items()), body=body
    )


def _response_of(fault: Fault) -> ApiResponse:
    return ApiResponse(status=fault.status, body=fault.body, headers=fault.headers)


def _close(http: web.BaseRequest) -> None:
    # Aborted, as by a failing proxy or network: the client gets a connection reset.
    if http.transport is not None:
        http.transport.abort()
