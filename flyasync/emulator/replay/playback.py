"""Playback: which recorded exchange answers a request, and where the present run differs from the recorded one."""

import json
from collections import defaultdict, deque
from collections.abc import Iterable, Mapping
from typing import Any

from attrs import evolve, frozen

from flyasync.emulator.core.faults import Fault
from flyasync.emulator.replay.boots import machine_views
from flyasync.emulator.replay.comparison import Ids, difference, in_response
from flyasync.emulator.replay.reconstruction import world_at
from flyasync.emulator.replay.recording import Exchange, RecordedDeploy, Recording
from flyasync.emulator.world.world import World

Key = tuple[str, ...]
# A wait may ask for as much time as is left, which depends on the moment.
_OF_THE_MOMENT = frozenset({"timeout"})
_GRAPHQL = "/graphql"
_DRIFT = 3.0  # seconds between the recorded and the present time of a request; without a change, milliseconds
_ID = 5  # the position of a machine's id in the segments of a path
# Refusals that do not depend on the state of the world here.
_OUTSIDE = frozenset({401, 403, 429, 500, 502, 503, 504})
_TIMEOUT = 408
_NOT_CONNECTED = "ConnectFailed"
_OF_THE_PLATFORM = ("insufficient", "no capacity", "MANIFEST_UNKNOWN", "temporarily disabled")
_COLLECTIONS = ("/machines", "/volumes")


@frozen(kw_only=True)
class SentRequest:
    """A request of the present run."""

    method: str
    path: str
    query: tuple[tuple[str, str], ...] = ()
    body: Any = None

    def __str__(self) -> str:
        return f"{self.method} {self.path}"


@frozen(kw_only=True)
class Divergence:
    """The first difference between the recorded and the present run, at a time in seconds since the deploy began.

    `recorded` and `sent` are requests; None if there is none. `where` is the difference, such as a path in the body.
    """

    at: float
    recorded: str | None
    sent: str | None
    where: str

    def __str__(self) -> str:
        return f"at {self.at:.1f} s: {self.where}"


@frozen(kw_only=True)
class Answer:
    """How a request is answered: after `seconds`, with a response, or not at all.

    Without a status, the connection is cut, or with `is_held` the request waits until the client gives up.
    """

    seconds: float
    status: int | None = None
    headers: Mapping[str, str]
    body: bytes = b""
    is_held: bool = False


class Playback:
    """Answers the requests of a deploy from its recording, each with the recorded exchange of the same number.

    Requests are numbered for each method and path, creates also for the name of the machine or volume. `ids` maps ids
    of the recorded client to those of the present one that are known in advance.
    """

    def __init__(self, recording: Recording, deploy: RecordedDeploy, ids: Mapping[str, str]) -> None:
        self.recording = recording
        self.deploy = deploy
        self.divergence: Divergence | None = None
        self.played: set[int] = {each.number for each in recording.exchanges if each.end <= deploy.at}
        app = deploy.line["app"]
        own = [each for each in recording.exchanges if deploy.at <= each.at < deploy.until and _may_be_of(app, each)]
        self._own = own
        self._left: defaultdict[Key, deque[Exchange]] = defaultdict(deque)
        for exchange in own:
            self._left[_key_of_exchange(exchange)].append(exchange)
        # A client that ran before may have kept what it read then.
        before = (each for each in recording.exchanges if each.end <= deploy.at and each.method == "GET")
        self._before = {_key(each.method, each.path, None): each for each in before if each.is_success}
        # A deploy of many apps resolves an image once for all of them.
        asked = (each for each in recording.exchanges if each.path == _GRAPHQL and each.is_success)
        self._shared = {_question(each.request): each for each in asked}
        self._ids = Ids(ids, frozenset(part for each in own for part in each.path.split("/")))
        self._ids_by_name = {view["name"]: view["id"] for each in own for view in machine_views(each)}
        self._zero: float | None = None
        self._is_over = False

    def __repr__(self) -> str:
        state = f", diverged {self.divergence}" if self.divergence else ""
        return f"<Playback of {self.deploy.name}: {self.progress[0]} of {self.progress[1]} exchanges{state}>"

    @property
    def progress(self) -> tuple[int, int]:
        """How many exchanges of the deploy were played, and how many there are."""
        return sum(each.number in self.played for each in self._own), len(self._own)

    @property
    def unsent(self) -> Exchange | None:
        """The first recorded exchange that was not sent again."""
        return next((each for each in self._own if each.number not in self.played), None)

    def answer(self, sent: SentRequest, now: float) -> Answer | None:
        """Return the recorded answer to a request; None if the recording can no longer be followed.

        `now` is in seconds, since any moment. It is answered at the time of the recording, or at once if that is over.
        """
        if self.divergence:
            return None
        key = _key_of(sent)
        left = self._left[key]
        # 1. There is none in this deploy; an earlier one has read the same, or that of another app at the same time.
        # 2. All recorded requests of this kind have been answered.
        # 3. The next one is another request, such as one with another config.
        # 4. It is sent at another time, so the response does not fit, or would come too late.
        if not left and (elsewhere := self._elsewhere(sent, key)):
            return self._recorded(elsewhere, max(0.0, elsewhere.end - self.since_start(now)))
        if not left:
            self._diverge(sent, now, None, self._why_missing(sent))
            return None
        learned: dict[str, str] = {}
        exchange = left[0]
        where = difference(_asked(exchange.query), _asked(sent.query), self._ids, learned) or difference(
            exchange.request, sent.body, self._ids, learned
        )
        if where:
            self._diverge(sent, now, exchange, where)
            return None
        if self._zero is None:
            self._zero = now - exchange.at
        if abs(drift := self.since_start(now) - exchange.at) > _DRIFT:
            when = f"{abs(drift):.1f} s {'later' if drift > 0 else 'earlier'} than recorded"
            self._diverge(sent, now, exchange, f"sent {when}")
            return None
        left.popleft()
        self.played.add(exchange.number)
        self._ids.keep(learned)
        return self._recorded(exchange, max(0.0, exchange.end + self._zero - now))

    def _elsewhere(self, sent: SentRequest, key: Key) -> Exchange | None:
        """Return the exchange of another deploy that answers a request of which this deploy has recorded none."""
        if any(_key_of_exchange(each) == key for each in self._own):
            return None
        return self._shared.get(_question(sent.body)) if sent.path == _GRAPHQL else self._before.get(key)

    def broken(self, sent: SentRequest, now: float) -> tuple[Exchange, float] | None:
        """Return the recorded exchange of a request if the network broke it, and in how many seconds the error comes.

        The client raises its error then, with the recorded text, and does not send the request. Once the run has left
        the recording, this is only for connections that were not made: other requests may have had an effect.
        """
        left = self._left.get(_key_of(sent))
        if not left or left[0].failure is None:
            return None
        exchange = left[0]
        if self.divergence:
            return (left.popleft(), exchange.seconds) if exchange.error == _NOT_CONNECTED else None
        answer = self.answer(sent, now)
        return None if answer is None else (exchange, answer.seconds)

    @property
    def is_over(self) -> bool:
        """Whether the world of the recording has taken over."""
        return self._is_over

    def end(self, now: float, blank: World) -> World:
        """Return the world that the recording shows at this time, with the options of `blank`, to continue with."""
        self._is_over = True
        return world_at(self.recording, self.played, self._ids, at=self.since_start(now), blank=blank)

    def faults(self, sent: SentRequest, machine: str) -> list[Fault]:
        """Return how the recorded request of the same number fared, as faults, after the run has diverged.

        `machine` is the name of the machine in the path; its recorded requests had another id if it was created anew.
        """
        left = self._left.get(_key_of(sent)) or self._left.get(_key_of(self._as_recorded(sent, machine)))
        if not left:
            return []
        exchange = left.popleft()
        wait = exchange.path.endswith("/wait")
        delay = Fault(does="delay", seconds=0.0 if wait or exchange.is_cut else exchange.seconds)
        if exchange.status is not None:
            is_outside = exchange.status in _OUTSIDE or (exchange.status == _TIMEOUT and not wait)
            is_outside = is_outside or any(words in str(exchange.response) for words in _OF_THE_PLATFORM)
            refusal = Fault(does="refuse", status=exchange.status, body=exchange.response) if is_outside else None
            return [delay, refusal] if refusal else [delay]
        if exchange.error == _NOT_CONNECTED:
            return [delay, Fault(does="cut")]
        if exchange.error == "NoReplyInTime":
            return [Fault(does="lose_answer")]
        return [delay] if exchange.is_cut else [delay, Fault(does="cut_after")]

    def since_start(self, now: float) -> float:
        """Return a time of the present run in the seconds of the recording."""
        return now - (self._zero if self._zero is not None else now - self.deploy.at)

    def _as_recorded(self, sent: SentRequest, machine: str) -> SentRequest:
        parts = sent.path.split("/")
        known = self._ids_by_name.get(machine)
        if not known or len(parts) <= _ID:
            return sent
        return evolve(sent, path="/".join([*parts[:_ID], known, *parts[_ID + 1 :]]))

    def _recorded(self, exchange: Exchange, seconds: float) -> Answer:
        if exchange.status is None:
            return Answer(seconds=seconds, headers={}, is_held=exchange.is_cut)
        headers = {name: text for name, text in exchange.headers.items() if name in {"fly-request-id", "retry-after"}}
        if exchange.is_text:
            body = exchange.response.encode()
        else:
            body = b"" if exchange.response is None else json.dumps(in_response(exchange.response, self._ids)).encode()
            headers["content-type"] = "application/json"
        return Answer(seconds=seconds, status=exchange.status, headers=headers, body=body)

    def _diverge(self, sent: SentRequest, now: float, exchange: Exchange | None, where: str) -> None:
        recorded = None if exchange is None else str(exchange)
        self.divergence = Divergence(at=self._at(now), recorded=recorded, sent=str(sent), where=f"{sent}: {where}")

    def _why_missing(self, sent: SentRequest) -> str:
        if self.recording.ends != "closed":
            why = "reached its bound" if self.recording.ends == "bound" else "was cut short"
            return f"the recording {why} before this request"
        times = sum(_key_of_exchange(each) == _key_of(sent) for each in self._own)
        return f"sent {times + 1} times, recorded {times} times" if times else "not in the recording"

    def _at(self, now: float) -> float:
        return max(0.0, self.since_start(now) - self.deploy.at)


def _asked(query: Iterable[tuple[str, str]]) -> dict[str, list[str]]:
    found: defaultdict[str, list[str]] = defaultdict(list)
    for name, value in query:
        if name not in _OF_THE_MOMENT:
            found[name].append(value)
    return found


def _may_be_of(app: str, exchange: Exchange) -> bool:
    """Whether an exchange is not of another app, whose deploy ran at the same time."""
    parts = exchange.path.split("/")
    if parts[2:3] == ["apps"] and parts[3:4]:
        return parts[3] == app
    body = exchange.request if isinstance(exchange.request, dict) else {}
    variables = body.get("variables")
    named = variables.get("app") if isinstance(variables, dict) else body.get("app_name")
    return named in {None, app}


def _question(body: Any) -> str:
    """Return a GraphQL query and its variables as a text, without the app that it is for."""
    asked = body if isinstance(body, Mapping) else {}
    variables = asked.get("variables") or {}
    return json.dumps([asked.get("query"), {name: variables[name] for name in sorted(variables) if name != "app"}])


def _key_of_exchange(exchange: Exchange) -> Key:
    return _key(exchange.method, exchange.path, exchange.request)


def _key_of(sent: SentRequest) -> Key:
    return _key(sent.method, sent.path, sent.body)


def _key(method: str, path: str, body: Any) -> Key:
    """Return what requests are numbered by: an operation on an identifier."""
    if method == "POST" and isinstance(body, Mapping):
        if path.endswith(_COLLECTIONS):
            return (method, path, str(body.get("name")), str(body.get("region")))
        if path == _GRAPHQL:
            return (method, path, str(body.get("query")))
    return (method, path)
