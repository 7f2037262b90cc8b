"""Faults: scripted failures, as data. What fails, for which requests or machines, and how often."""

import math
from collections.abc import Iterable, Iterator, Mapping
from difflib import get_close_matches
from fnmatch import fnmatchcase
from random import Random
from typing import Any

from attrs import Attribute, asdict, define, field, fields, frozen, validators

from flyasync.emulator.core import ids
from flyasync.emulator.core.operations import companions, operations

# The kinds that affect these operations only.
LIMITED: Mapping[str, frozenset[str]] = {
    "retire_region": frozenset({"createMachine", "createVolume"}),
    "manifest_unknown": frozenset({"createMachine", "updateMachine"}),
    "move_tag": frozenset({"createMachine", "updateMachine"}),
}
# Refusals with the API's own status and text.
REFUSALS = frozenset({"retire_region", "manifest_unknown", "token_expired", "token_forbidden"})
# The kinds, by the point at which they apply to a request or a machine.
BEFORE = frozenset({"refuse", "delay", "cut", "repeat", "move_tag"}) | REFUSALS
AFTER = frozenset({"refuse_after", "cut_after", "lose_answer", "repeat_after"})
LISTS = frozenset({"stale"})
CHECKS = frozenset(
    {"checks_never_pass", "checks_pass_late", "checks_stay_warning", "checks_turn_critical", "checks_flap"}
)
MACHINE = CHECKS | {"stay_created", "stay_starting", "fail", "launch_fail", "crash", "not_listening", "volume_lingers"}
KINDS = tuple(sorted(BEFORE | AFTER | LISTS | MACHINE))


# A fault is validated when it is created, so that it cannot raise in the middle of a test or a rehearsal.
_TEXT = validators.instance_of(str)
_WHOLE = validators.instance_of(int)
# The fields of Fault and of Subject that are compared directly; regions and images have rules of their own.
_PATTERNS = ("action", "method", "identifier", "app", "name")


@frozen(kw_only=True)
class Fault:
    """One fault: what it does, which requests or machines it affects, and how often.

    Faults of a request:
        `refuse`: respond with `status`, `body` and `headers` without doing the work. A text body is sent as plain
            text, None as no body, anything else as JSON.
        `token_expired`: refuse with 401, as for a token that is unknown or has expired.
        `token_forbidden`: refuse with 403, as for a token that does not permit the request.
        `retire_region`: refuse a new machine or volume as for a retired region, with 422.
        `manifest_unknown`: refuse a new machine or version as for an image that was just pushed, with 400.
        `move_tag`: move the tag of the image to a new digest, then do the work of the new machine or version.
        `delay`: wait `seconds` before doing the work.
        `cut`: close the connection without doing the work.
        `refuse_after`: do the work, then respond as `refuse` does, such as with 408 for a timeout.
        `cut_after`: do the work, then close the connection instead of responding.
        `lose_answer`: do the work, then never respond.
        `repeat`: do the work twice, `seconds` apart, as for a request that is delivered twice, and return the second
            response.
        `repeat_after`: do the work and respond; do the work again `seconds` later.

    Faults of the lists of apps, and of the machines and volumes of an app or an organization:
        `stale`: return each machine and volume as it was `seconds` of emulated time ago, and omit newer ones and apps.
            Requests by id return the current state. A list never shows a state from before the first request for
            which this fault was active.

    Faults of a machine, applied at each boot, unless stated otherwise:
        `stay_created`, `stay_starting`: stay in that state.
        `fail`: end in `failed` instead of `started`.
        `launch_fail`: end in `launch_failed`, then `destroyed`.
        `crash`: exit with `exit_code`, `seconds` after the start; the restart policy applies.
        `not_listening`: the process accepts no connections: the proxy cannot reach it, and its checks are critical.
        `volume_lingers`: when the machine is destroyed, it still claims its volume for `seconds`.
        `checks_never_pass`: checks are critical once their first result is overdue.
        `checks_pass_late`: the process does not respond to checks for `seconds` after the start; a check passes with
            its first attempt after that, and is critical before.
        `checks_stay_warning`: checks stay in `warning`.
        `checks_turn_critical`: checks pass, and become critical `seconds` later.
        `checks_flap`: checks alternate between passing and critical for as long as the machine runs. Each phase lasts
            between 0.5 and 1.5 times `seconds`, or the interval of the check if `seconds` is 0.

    The fields `action`, `method`, `identifier`, `app`, `region`, `name` and `image` are shell-style patterns, which
    must all match. `action` is an operation of the API, such as `createMachine`; do not set `action` and `method` for
    faults of a machine. A create is matched by the regions in its request. `image` is matched without the digest, so
    `web:v2` also matches `web:v2@sha256:…`; a pattern with an `@` is matched with the digest, so `*@sha256:…` matches
    every machine that runs that digest. The first `after` matches pass unaffected; then the fault applies at most
    `times` times, each with this `probability`.
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
        if value not in KINDS:
            raise ValueError(f"{attribute.name} is {value!r}, but must be one of {', '.join(KINDS)}")

    @action.validator
    def _fits_an_operation(self, attribute: "Attribute[str]", value: str) -> None:
        # A pattern that matches no operation is refused: a rehearsal in which nothing fails proves nothing.
        actions = [operation.action for operation in (*operations(), *companions())]
        if value and not any(fnmatchcase(action, value) for action in actions):
            close = get_close_matches(value, actions, n=1)
            hint = f"did you mean {close[0]!r}? " if close else ""
            raise ValueError(
                f"{attribute.name}: no operation matches {value!r}; {hint}use the operation ids of the API document"
            )

    @headers.validator
    def _can_be_sent(self, attribute: "Attribute[Mapping[str, str]]", value: Any) -> None:
        if not isinstance(value, Mapping):
            raise TypeError(f"{attribute.name}: must be an object whose values are strings")
        for text in (*value.keys(), *value.values()):
            # aiohttp refuses anything else when it sends the response, which is too late.
            if not isinstance(text, str) or not text.isascii() or not text.isprintable():
                raise ValueError(f"{attribute.name}: {text!r} cannot be part of a header: use printable ASCII")

    def fits(self, subject: "Subject") -> bool:
        """Whether every pattern matches."""
        # A pattern such as `*:2*` must not match a digest that happens to begin with 2.
        image = f"{subject.image}@{subject.digest}" if "@" in self.image else subject.image
        return (
            (self.does not in LIMITED or subject.action in LIMITED[self.does])
            and any(fnmatchcase(region, self.region) for region in subject.regions)
            and fnmatchcase(image, self.image)
            and all(fnmatchcase(getattr(subject, key), getattr(self, key)) for key in _PATTERNS)
        )


def read_fault(value: object) -> Fault:
    """Return the fault with these fields, as parsed from JSON; raise a ValueError or TypeError for anything else."""
    if not isinstance(value, dict):
        raise TypeError('a fault must be an object such as {"does": "refuse", "times": 1}')
    known = {each.name: each.type for each in fields(Fault)}
    if unknown := sorted(value.keys() - known):
        raise ValueError(f"a fault has no field {unknown[0]!r}; it has {', '.join(known)}")
    for name, item in value.items():
        # The validators name the type as Python does.
        if known[name] is str and not isinstance(item, str):
            raise ValueError(f"{name} is {item!r}, but must be a text")
    if "does" not in value:
        raise ValueError(f"does is missing, but must be one of {', '.join(KINDS)}")
    return Fault(**value)


@frozen(kw_only=True)
class Subject:
    """What a fault may affect: a request, or a machine that boots (then action and method are empty).

    `image` is a reference without its digest; `digest` is the digest that runs.
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
class ActiveFault:
    """An active fault: how many subjects matched it, and to how many of these it was applied."""

    fault: Fault
    met: int = 0
    hits: int = 0

    def strikes(self, subject: Subject, random: Random) -> bool:
        """Whether the fault applies to this subject; counts the match."""
        # 1. It does not match, or was applied `times` times: not counted.
        if not self.fault.fits(subject) or (self.fault.times is not None and self.hits >= self.fault.times):
            return False
        # 2. One of the first `after` matches, which pass.
        self.met += 1
        if self.met <= self.fault.after:
            return False
        # 3. Left to chance. A fault with probability 1 draws no random number, so that adding one does not change the
        # numbers of the others.
        if self.fault.probability < 1 and random.random() >= self.fault.probability:
            return False
        self.hits += 1
        return True


@frozen
class FaultsState:
    """The active faults with their counts, and the state of their random numbers."""

    random: Random
    active: list[ActiveFault]


class Faults:
    """The active faults, oldest first. The same seed and the same requests give the same faults."""

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
        """Replace all faults by these, reset the counts and restart the random numbers."""
        self._random = ids.seeded(self._seed, "faults")
        self._active = [ActiveFault(fault) for fault in faults]

    @property
    def state(self) -> FaultsState:
        """The faults with their counts and random numbers; `adopt` continues from it."""
        return FaultsState(self._random, self._active)

    def adopt(self, state: FaultsState) -> None:
        """Replace the faults, their counts and their random numbers by those of a state."""
        self._random, self._active = state.random, list(state.active)

    def add(self, *faults: Fault) -> None:
        """Add faults after the active ones."""
        self._active += [ActiveFault(fault) for fault in faults]

    def remove(self, *faults: Fault) -> None:
        """Remove these faults, compared by identity; the other faults keep their counts."""
        self._active = [active for active in self._active if not any(active.fault is one for one in faults)]

    def clear(self) -> None:
        """Remove all faults; a machine that is stuck in a state stays there."""
        self._active.clear()

    def include(self, kinds: Iterable[str]) -> bool:
        """Whether a fault of these kinds is active."""
        asked = frozenset(kinds)
        return bool(self._active) and any(active.fault.does in asked for active in self._active)

    def hits(self, fault: Fault) -> int:
        """Return how often `fault` was applied."""
        return sum(active.hits for active in self._active if active.fault == fault)

    def strike(self, kinds: Iterable[str], subject: Subject) -> Iterator[Fault]:
        """Yield the faults of these kinds that apply; a fault is counted as applied only when it is yielded."""
        asked = frozenset(kinds)
        for active in list(self._active):
            if active.fault.does in asked and active.strikes(subject, self._random):
                yield active.fault

    def first(self, kind: str, subject: Subject) -> Fault | None:
        """Return the first fault of this kind that applies."""
        return next(self.strike([kind], subject), None)

    def as_json(self) -> list[dict[str, Any]]:
        """Return the fields of the faults, and how often each was applied as `hits`."""
        return [{**asdict(active.fault), "hits": active.hits} for active in self._active]
