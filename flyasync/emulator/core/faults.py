"""Faults: scripted trouble, as data. What goes wrong, for which requests or machines, how often."""

import math
from collections.abc import Iterable, Iterator, Mapping
from difflib import get_close_matches
from fnmatch import fnmatchcase
from random import Random
from typing import Any

from attrs import Attribute, asdict, define, field, frozen, validators

from flyasync.emulator.core import ids
from flyasync.emulator.core.operations import companions, operations

# The kinds, by the point at which a request or a machine meets them.
BEFORE = frozenset({"refuse", "delay", "cut", "repeat"})
AFTER = frozenset({"refuse_after", "cut_after", "lose_answer", "repeat_after"})
LISTS = frozenset({"stale"})
CHECKS = frozenset({"checks_never_pass", "checks_stay_warning", "checks_turn_critical", "checks_flap"})
MACHINE = CHECKS | {"stay_created", "stay_starting", "fail", "launch_fail", "crash"}


# What may stand in a fault is checked when it is made, so that it cannot fail in the middle of a test or a rehearsal.
_TEXT = validators.instance_of(str)
_WHOLE = validators.instance_of(int)
# The fields of Fault and of Subject that are compared as they are; regions and images need more than that.
_PATTERNS = ("action", "method", "identifier", "app", "name")


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
    strikes every machine that runs that digest. The first `after` fits are let through, then at most `times` are
    struck, each with this `probability`.
    """

    does: str = field(validator=_TEXT)
    action: str = field(default="*", validator=_TEXT)
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
    headers: Mapping[str, str] = field(factory=dict)
    seconds: float = field(default=0.0, validator=[validators.ge(0), validators.lt(math.inf)])
    exit_code: int = field(default=1, validator=_WHOLE)

    @does.validator
    def _does_something(self, attribute: "Attribute[str]", value: str) -> None:
        if value not in BEFORE | AFTER | LISTS | MACHINE:
            raise ValueError(f"{attribute.name}: no trouble is called {value!r}")

    @action.validator
    def _fits_an_operation(self, attribute: "Attribute[str]", value: str) -> None:
        # A pattern that no operation fits is refused: a rehearsal in which nothing happens proves nothing.
        actions = [operation.action for operation in (*operations(), *companions())]
        if value and not any(fnmatchcase(action, value) for action in actions):
            close = get_close_matches(value, actions, n=1)
            hint = f"did you mean {close[0]!r}? " if close else ""
            raise ValueError(
                f"{attribute.name}: no operation fits {value!r}; {hint}they are called as in the API's document"
            )

    @headers.validator
    def _can_be_sent(self, attribute: "Attribute[Mapping[str, str]]", value: Any) -> None:
        if not isinstance(value, Mapping):
            raise TypeError(f"{attribute.name}: must be an object of texts")
        for text in (*value.keys(), *value.values()):
            # aiohttp refuses anything else when it writes the answer, which is too late.
            if not isinstance(text, str) or not text.isascii() or not text.isprintable():
                raise ValueError(f"{attribute.name}: {text!r} is not a text that a header can carry")

    def fits(self, subject: "Subject") -> bool:
        """Whether every pattern fits."""
        # A pattern such as `*:2*` must not fit a digest that happens to begin with 2.
        image = f"{subject.image}@{subject.digest}" if "@" in self.image else subject.image
        return (
            any(fnmatchcase(region, self.region) for region in subject.regions)
            and fnmatchcase(image, self.image)
            and all(fnmatchcase(getattr(subject, key), getattr(self, key)) for key in _PATTERNS)
        )


@frozen(kw_only=True)
class Subject:
    """What a fault may strike: a request, or a machine that boots (then action and method are empty).

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
    """A fault in force: how many subjects have fitted it, and how many of these it has struck."""

    fault: Fault
    met: int = 0
    hits: int = 0

    def strikes(self, subject: Subject, random: Random) -> bool:
        """Whether the fault strikes this subject; counts it."""
        # 1. It does not fit, or has struck as often as it may: not met at all.
        if not self.fault.fits(subject) or (self.fault.times is not None and self.hits >= self.fault.times):
            return False
        # 2. One of the first few, which pass.
        self.met += 1
        if self.met <= self.fault.after:
            return False
        # 3. Left to chance. A certain fault draws no number, so that adding one does not change what others draw.
        if self.fault.probability < 1 and random.random() >= self.fault.probability:
            return False
        self.hits += 1
        return True


class Faults:
    """The faults in force, oldest first. The same seed and the same requests meet the same trouble."""

    def __init__(self, faults: Iterable[Fault] = (), *, seed: int = 0) -> None:
        self._seed = seed
        self.restart(faults)

    def __iter__(self) -> Iterator[Fault]:
        return (active.fault for active in self._active)

    def __len__(self) -> int:
        return len(self._active)

    def __repr__(self) -> str:
        return (
            f"<Faults {', '.join(f'{each.fault.does} {each.hits} of {each.met}' for each in self._active) or 'none'}>"
        )

    def restart(self, faults: Iterable[Fault]) -> None:
        """Put these faults in force instead of all others, with nothing met or drawn yet."""
        self._random = ids.seeded(self._seed, "faults")
        self._active = [_ActiveFault(fault) for fault in faults]

    def add(self, *faults: Fault) -> None:
        """Put faults in force, after those already there."""
        self._active += [_ActiveFault(fault) for fault in faults]

    def remove(self, *faults: Fault) -> None:
        """End these faults, the very objects that were added; others continue with their counts."""
        self._active = [active for active in self._active if not any(active.fault is one for one in faults)]

    def clear(self) -> None:
        """End all trouble from now on; a machine already stuck stays so."""
        self._active.clear()

    def include(self, kinds: Iterable[str]) -> bool:
        """Whether a fault of these kinds is in force."""
        asked = frozenset(kinds)
        return any(active.fault.does in asked for active in self._active)

    def hits(self, fault: Fault) -> int:
        """Return how often `fault` has struck."""
        return sum(active.hits for active in self._active if active.fault == fault)

    def strike(self, kinds: Iterable[str], subject: Subject) -> Iterator[Fault]:
        """Yield, one by one, the faults of these kinds that strike; one that is not reached is not counted."""
        asked = frozenset(kinds)
        for active in list(self._active):
            if active.fault.does in asked and active.strikes(subject, self._random):
                yield active.fault

    def first(self, kind: str, subject: Subject) -> Fault | None:
        """Return the first fault of this kind that strikes."""
        return next(self.strike([kind], subject), None)

    def as_json(self) -> list[dict[str, Any]]:
        """Return the faults with their fields and hits."""
        return [{**asdict(active.fault), "hits": active.hits} for active in self._active]
