"""The story that a journal tells: which deployment was wanted, what was there before, and how far it came."""

import json
import os
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

from attrs import define, evolve, fields, frozen

from flyasync.deploy.plan.plan import Target
from flyasync.deploy.plan.spec import DeploySpec, Requirement
from flyasync.deploy.plan.strategies.launch import Launch
from flyasync.deploy.plan.strategies.table import strategies
from flyasync.deploy.plan.strategy import Strategy
from flyasync.deploy.reporting.phase import Phase
from flyasync.errors import InvalidInput
from flyasync.models.diff import written
from flyasync.models.json.codec import Mismatch, structure, unstructure
from flyasync.models.machine import Machine
from flyasync.models.redaction import is_secret, tells_a_secret

RELEASE_COMMAND = "release.command"
"""The path of a release command that was withheld."""


@frozen(kw_only=True)
class Before:
    """A machine that was there when a deploy began, in routing or not; `version` names its config of then."""

    id: str
    name: str
    region: str
    state: str
    version: str | None = None
    cordoned: bool = False

    @classmethod
    def of(cls, machine: Machine) -> "Before":
        """Say which machine it is."""
        return cls(
            id=machine.id,
            name=machine.name,
            region=machine.region,
            state=machine.state,
            version=machine.current_version,
            cordoned=bool(machine.cordoned),
        )


@frozen(kw_only=True)
class JournalReplay:
    """What a journal tells of the last deployment in it, over all runs of its launch.

    `api` is the URL of the API that it goes to, None in a journal that lacks it. `deployment` lacks the values at the
    paths `withheld`, so its fingerprint is another than `fingerprint`. `before` are the machines that were there when
    its first run began, `made` the ids of those made so far. `is_released` once its release command has ended well,
    `is_finished` once its last run came to its end, and `ok` if that was well.
    """

    spec: DeploySpec
    fingerprint: str
    api: str | None = None
    withheld: tuple[str, ...] = ()
    before: tuple[Before, ...] = ()
    made: tuple[str, ...] = ()
    is_released: bool = False
    is_finished: bool = False
    ok: bool = False

    def is_of(self, app: str, launch: str | None) -> bool:
        """Tell whether it is about this launch of this app."""
        return (self.spec.app, self.spec.launch) == (app, launch)

    @property
    def withheld_env(self) -> frozenset[str]:
        """The names of the variables whose values were withheld."""
        env = (path for path in self.withheld if path.startswith(("env.", "env[")))
        return frozenset(_variable(path) for path in env)

    def check_api(self, url: str) -> None:
        """Raise InvalidInput if the deployment was begun at another API than the one at this URL."""
        if self.api not in {None, url}:
            raise InvalidInput(
                f"the journal tells of a deploy at {self.api}, but this one goes to {url}: point FLY_FLAPS_BASE_URL or "
                "base_url there, or name another journal"
            )

    def check(self, spec: DeploySpec) -> None:
        """Raise InvalidInput for a deployment of the same launch that is not the one told of."""
        if not self.is_of(spec.app, spec.launch):
            return
        if spec.fingerprint != self.fingerprint:
            raise InvalidInput(f"launch {spec.launch} has another config in the journal: {self._way_out}")
        if RELEASE_COMMAND in self.withheld and not (self.is_released or spec.release):
            raise InvalidInput(
                f"the release command of launch {spec.launch} may hold a secret, so the journal lacks it, and it "
                "has not ended well yet: give it again, with with_release_command(…)"
            )

    @property
    def _way_out(self) -> str:
        lacking = [path for path in self.withheld if path != RELEASE_COMMAND]
        if not lacking:
            return "name another launch for this one"
        return (
            f"it lacks {', '.join(lacking)}, which may be secret: give these again as they were, those of env with "
            "resumed(path, env={…}), others with with_config(…)"
        )


def _variable(path: str) -> str:
    """Read the name of a variable from the path of its value, which is in quotes where it is no plain word."""
    name = path.removeprefix("env")
    return str(json.loads(name[1:-1])) if name.startswith("[") else name.removeprefix(".")


def read_journal(path: "str | os.PathLike[str]") -> JournalReplay:
    """Read the last deployment planned in a journal; raises InvalidInput for what is no journal, by file and line."""
    name = os.fspath(path)
    told: _Told | None = None
    for number, line in journal_lines(name):
        try:
            told = _told(told, line)
        except (Mismatch, InvalidInput, KeyError, TypeError, ValueError, AttributeError, RecursionError) as error:
            raise InvalidInput(f"{name}, line {number}: no line of a journal: {error!r}") from error
    if told is None:
        raise InvalidInput(f"{name}: no deployment is planned in it, so there is nothing to go on with")
    return told.story


def journal_lines(path: str) -> Iterator[tuple[int, dict[str, Any]]]:
    """Give the lines of a journal; a last one that was not written to its end is none."""
    try:
        text = Path(path).read_text(encoding="utf-8", errors="replace")
    except OSError as error:
        raise InvalidInput(f"the journal {path} cannot be read: {error.strerror}") from error
    *whole, _ = text.split("\n")
    for number, line in enumerate(whole, start=1):
        try:
            said = json.loads(line)
        except (ValueError, RecursionError) as error:
            raise InvalidInput(f"{path}, line {number}: no line of a journal: {error}") from error
        if not isinstance(said, dict):
            raise InvalidInput(f"{path}, line {number}: no line of a journal: it holds no object")
        yield number, said


@define
class _Told:
    """The story so far; `undoes` while the lines are about the way back."""

    story: JournalReplay
    undoes: bool = False


def _told(told: _Told | None, said: Mapping[str, Any]) -> _Told | None:
    """Go on with the story by one line; words that it does not know are left out."""
    if said["what"] == "planned":
        return _Told(_begun(told.story if told else None, said))
    if told is None:
        return None
    if said["what"] == "undoing":
        told.undoes = True
    elif said["what"] in {"stepped", "ended"} and not told.undoes:
        told.story = _gone_on(told.story, said)
    elif said["what"] == "finished" and said["strategy"] != "undo":
        told.story = evolve(told.story, is_finished=not said["cancelled"], ok=said["ok"] is True)
    return told


def _begun(story: JournalReplay | None, said: Mapping[str, Any]) -> JournalReplay:
    """Begin a story, or go on with the one of an earlier run."""
    wanted, fingerprint = _spec(said["deployment"]), said["fingerprint"]
    withheld = tuple(structure(said["withheld"], list[str]))
    api = structure(said.get("api"), str | None)  # type: ignore[arg-type]  # a union is no type to mypy
    if story and story.is_of(wanted.app, wanted.launch) and (story.api, story.fingerprint) == (api, fingerprint):
        return evolve(story, spec=wanted, withheld=withheld, is_finished=False, ok=False)
    before = tuple(structure(said["before"], list[Before]))
    return JournalReplay(spec=wanted, fingerprint=fingerprint, api=api, withheld=withheld, before=before)


def _gone_on(story: JournalReplay, said: Mapping[str, Any]) -> JournalReplay:
    released = said["what"] == "ended" and said["aim"] == Target.END and said["phase"] == Phase.ENDED
    is_new = said["made"] and said["aim"] != Target.END and said["machine"] not in story.made
    made = (*story.made, said["machine"]) if is_new else story.made
    return evolve(story, made=made, is_released=story.is_released or (released and not said["error"]))


# What is wanted, as JSON


def without_secrets(spec: DeploySpec) -> tuple[dict[str, Any], dict[str, Any]]:
    """Write a deployment without what may be secret, and return that by its place."""
    withheld: dict[str, Any] = {}
    data = {one.name: unstructure(getattr(spec, one.name)) for one in fields(DeploySpec)}
    data["config"] = _without_secrets((), data["config"], withheld)
    data["unresolved"] = None  # an error's text, which may repeat the image
    data["strategy"] = None if spec.strategy.only_adds else {"name": spec.strategy.name, **data["strategy"]}
    if spec.release is not None and tells_a_secret(spec.release.command):
        data["release"] = None
        withheld[RELEASE_COMMAND] = str(spec.release)
    return data, withheld


def _without_secrets(path: tuple[str | int, ...], value: Any, withheld: dict[str, Any]) -> Any:
    if isinstance(value, dict) and value:
        return {key: _without_secrets((*path, key), item, withheld)
                for key, item in value.items() if not _is_withheld((*path, key), item, withheld)}  # fmt: skip
    if isinstance(value, list):
        return [_without_secrets((*path, number), item, withheld)
                for number, item in enumerate(value) if not _is_withheld((*path, number), item, withheld)]  # fmt: skip
    return value


def _is_withheld(path: tuple[str | int, ...], value: Any, withheld: dict[str, Any]) -> bool:
    """Tell whether a value stays out, and note it then; what has an inside is decided there."""
    has_inside = isinstance(value, dict) or (isinstance(value, list) and any(isinstance(each, dict) for each in value))
    if (value and has_inside) or value is None or not is_secret(path, value):
        return False
    withheld[written(path)] = value
    return True


def _spec(data: Mapping[str, Any]) -> DeploySpec:
    known = (one for one in fields(DeploySpec) if one.name in data)
    return DeploySpec(**{one.name: _value(one.name, one.type, data[one.name]) for one in known})


def _value(name: str, kind: Any, data: Any) -> Any:
    special = _SPECIAL.get(name)
    return special(data) if special else structure(data, kind)


def _strategy(data: Mapping[str, Any] | None) -> Strategy:
    if data is None:
        return Launch()
    return structure({key: value for key, value in data.items() if key != "name"}, strategies()[data["name"]])


# These have types that hold several kinds of value, which JSON tells apart by itself.
_SPECIAL: Mapping[str, Callable[[Any], Any]] = {
    "strategy": _strategy,
    "fallback": lambda data: tuple(data) if isinstance(data, list) else data,
    "goal": lambda data: data,
    "verify_stopped": lambda data: data,
    "requirement": lambda data: Requirement.of(data["regions"]),
}
