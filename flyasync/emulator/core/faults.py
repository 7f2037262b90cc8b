"""Scripted trouble, as data: what goes wrong, for whom, how often."""

import math
from collections.abc import Iterable, Iterator, Mapping
from difflib import get_close_matches
from fnmatch import fnmatchcase
from random import Random
from typing import Any

from attrs import Attribute, asdict, define, field, frozen, validators

from flyasync.emulator.core import ids
from flyasync.emulator.core.operations import companions, operations

BEFORE = frozenset({"refuse", "delay", "cut", "repeat"})
AFTER = frozenset({"refuse_after", "cut_after", "lose_answer", "repeat_after"})
LISTS = frozenset({"stale"})
CHECKS = frozenset({"checks_never_pass", "checks_stay_warning", "checks_turn_critical", "checks_flap"})
MACHINE = CHECKS | {"stay_created", "stay_starting", "fail", "launch_fail", "crash"}


def _known(_: Any, attribute: "Attribute[str]", value: str) -> None:
    if value not in BEFORE | AFTER | LISTS | MACHINE:
        raise ValueError(f"{attribute.name}: no trouble is called {value!r}")


def _of_the_api(_: Any, attribute: "Attribute[str]", value: str) -> None:
    """Refuse a pattern that no operation fits: a rehearsal in which nothing happens proves nothing."""
    actions = [operation.action for operation in (*operations(), *companions())]
    if value and not any(fnmatchcase(action, value) for action in actions):
        close = get_close_matches(value, actions, n=1)
        hint = f"did you mean {close[0]!r}? " if close else ""
        raise ValueError(
            f"{attribute.name}: no operation fits {value!r}; {hint}they are called as in the API's document"
        )


def _headers(_: Any, attribute: "Attribute[Mapping[str, str]]", value: Any) -> None:
    if not isinstance(value, Mapping):
        raise TypeError(f"{attribute.name}: must be an object of texts")
    for text in (*value.keys(), *value.values()):
        if not isinstance(text, str) or not text.isascii() or not text.isprintable():
            raise ValueError(f"{attribute.name}: {text!r} is not a text that a header can carry")


_TEXT = validators.instance_of(str)
_WHOLE = validators.instance_of(int)


@frozen(kw_only=True)
class Fault:
    """One trouble: what it does, which requests or machines it strikes, and how often.

    Troubles of a request:
        `refuse`: answer `status`, `body` and `headers` instead of doing the work. A text body goes out as plain
            text, None as no body, anything else as JSON.
        `delay`: let the request wait `seconds` first.
        `cut`: close the connection before the work is done.
        `refuse_after`: do the work, then answer as `refuse` does, such as 408 for what took too long.
        `cut_after`: do the work, then close the connection instead of answering.
        `lose_answer`: do the work, then never answer.
        `repeat`: do the work twice, as for a request that is delivered twice, `seconds` apart; answer the second.
        `repeat_after`: do the work and answer; do it again `seconds` later.

    Troubles of the lists of an app's or an organization's machines, and of an app's volumes:
        `stale`: show each machine as it was `seconds` of emulated time ago, and leave out what is newer than that,
            volumes too. What is asked for by its id is up to date. A list never goes back behind the first request
            that found this fault in force.

    Troubles of a machine, met at each boot:
        `stay_created`, `stay_starting`: get stuck in that state.
        `fail`: end in `failed` instead of `started`.
        `launch_fail`: end in `launch_failed`, then `destroyed`.
        `crash`: exit with `exit_code`, `seconds` after it started; the restart policy takes over.
        `checks_never_pass`: checks are critical once their first answer is overdue.
        `checks_stay_warning`: checks stay in `warning`.
        `checks_turn_critical`: checks pass, and turn critical `seconds` later.
        `checks_flap`: checks pass, turn critical, and pass again, for as long as the machine runs; each time after
            half to one and a half of `seconds`, or of the check's interval if that is 0.

    The fields `action`, `method`, `identifier`, `app`, `region`, `name` and `image` are shell-style patterns and must
    all fit. `action` is an operation of the API, such as `createMachine`; for a machine's own troubles leave it and
    `method` alone. A create is matched by the region words it names. `image` is matched without
    the digest, so `web:v2` also strikes `web:v2@sha256:…`; a pattern with an `@` is matched with it, so `*@sha256:…`
    strikes whatever runs that digest. The first `after` fits are let through, then at most `times` are struck, each
    with this `probability`.
    """

    does: str = field(validator=[_TEXT, _known])
    action: str = field(default="*", validator=[_TEXT, _of_the_api])
    method: str = field(default="*", validator=_TEXT)
    identifier: str = field(default="*", validator=_TEXT)
    app: str = field(default="*", validator=_TEXT)
    region: str = field(default="*", validator=_TEXT)
    name: str = field(default="*", validator=_TEXT)
    image: str = field(default="*", validator=_TEXT)
    times: int | None = field(default=None, validator=validators.optional([_WHOLE, validators.ge(1)]))
    after: int = field(default=0, validator=[_WHOLE, validators.ge(0)])
    probability: float = field(default=1.0, validator=[validators.ge(0), validators.le(1)])
    status: int = field(default=503, validator=[_WHOLE, validators.ge(400), validators.le(599)])
    body: Any = None
    headers: Mapping[str, str] = field(factory=dict, validator=_headers)
    seconds: float = field(default=0.0, validator=[validators.ge(0), validators.lt(math.inf)])
    exit_code: int = field(default=1, validator=_WHOLE)

    def fits(self, subject: "Subject") -> bool:
        """Tell whether every pattern fits."""
        # A pattern such as `*:2*` must not fit a digest that happens to begin with 2.
        image = f"{subject.image}@{subject.digest}" if "@" in self.image else subject.image
        return (
            any(fnmatchcase(region, self.region) for region in subject.regions)
            and fnmatchcase(image, self.image)
            and all(fnmatchcase(getattr(subject, key), getattr(self, key)) for key in _PATTERNS)
        )


_PATTERNS = ("action", "method", "identifier", "app", "name")


@frozen(kw_only=True)
class Subject:
    """Who a fault may strike: a request, or a machine that boots (then action and method are empty).

    `image` is a reference without its digest; `digest` is what it runs.
    """

    action: str = ""
    method: str = ""
    identifier: str = ""
    app: str = ""
    regions: tuple[str, ...] = ("",)
    name: str = ""
    image: str = ""
    digest: str = ""


@define
class _ActiveFault:
    fault: Fault
    met: int = 0
    hits: int = 0

    def strikes(self, subject: Subject, random: Random) -> bool:
        if not self.fault.fits(subject) or self._is_spent():
            return False
        self.met += 1
        if self.met <= self.fault.after or not self._is_drawn(random):
            return False
        self.hits += 1
        return True

    def _is_spent(self) -> bool:
        return self.fault.times is not None and self.hits >= self.fault.times

    def _is_drawn(self, random: Random) -> bool:
        return self.fault.probability >= 1 or random.random() < self.fault.probability


class Faults:
    """The faults in force, oldest first; the same seed and the same requests meet the same trouble."""

    def __init__(self, faults: Iterable[Fault] = (), *, seed: int = 0) -> None:
        self._seed = seed
        self.restart(faults)

    def __iter__(self) -> Iterator[Fault]:
        return (scripted.fault for scripted in self._scripted)

    def __len__(self) -> int:
        return len(self._scripted)

    def restart(self, faults: Iterable[Fault]) -> None:
        """Put these faults in force instead of all others, with nothing met or drawn yet."""
        self._random = ids.seeded(self._seed, "faults")
        self._scripted = [_ActiveFault(fault) for fault in faults]

    def add(self, *faults: Fault) -> None:
        """Put faults in force, after those already there."""
        self._scripted += [_ActiveFault(fault) for fault in faults]

    def remove(self, *faults: Fault) -> None:
        """End these faults, the very ones that were added; others go on where they are."""
        self._scripted = [scripted for scripted in self._scripted if not any(scripted.fault is one for one in faults)]

    def clear(self) -> None:
        """End all trouble from now on; a machine already stuck stays so."""
        self._scripted.clear()

    def include(self, kinds: Iterable[str]) -> bool:
        """Whether a fault of these kinds is in force."""
        wanted = frozenset(kinds)
        return any(scripted.fault.does in wanted for scripted in self._scripted)

    def hits(self, fault: Fault) -> int:
        """Count how often `fault` has struck."""
        return sum(scripted.hits for scripted in self._scripted if scripted.fault == fault)

    def strike(self, kinds: Iterable[str], subject: Subject) -> Iterator[Fault]:
        """Give, one by one, the faults of these kinds that strike; one not asked for counts no hit."""
        wanted = frozenset(kinds)
        for scripted in list(self._scripted):
            if scripted.fault.does in wanted and scripted.strikes(subject, self._random):
                yield scripted.fault

    def first(self, kind: str, subject: Subject) -> Fault | None:
        """Give the first fault of this kind that strikes."""
        return next(self.strike([kind], subject), None)

    def as_json(self) -> list[dict[str, Any]]:
        """List the faults with their fields and hits."""
        return [{**asdict(scripted.fault), "hits": scripted.hits} for scripted in self._scripted]
