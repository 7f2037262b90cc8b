"""Reads a journal: the spec of the deploy, the machines before it, and how far it got.

`DeployBuilder.resumed` makes a builder from it. The plan finds existing machines by their launch tag, so the deploy
only does what is left.
"""

import json
import os
from collections.abc import Mapping
from typing import Any

from attrs import evolve, frozen

from flyasync.deploy.plan.plan import Target
from flyasync.deploy.plan.spec import DeploySpec
from flyasync.deploy.reporting.journal_file import journal_lines
from flyasync.deploy.reporting.phase import Phase
from flyasync.deploy.reporting.spec_json import OF_GROUP, RELEASE_COMMAND, VERIFICATION, read_spec
from flyasync.errors import InvalidInput
from flyasync.models.json.codec import structure
from flyasync.models.machine import Machine


@frozen(kw_only=True)
class MachineBefore:
    """A machine as it was when the deploy began; `version` is the version of its config."""

    id: str
    name: str
    region: str
    state: str
    version: str | None = None
    cordoned: bool = False

    @classmethod
    def of(cls, machine: Machine) -> "MachineBefore":
        """Return the record of a machine."""
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
    """The state of the last deploy in a journal, over all runs of its launch.

    `api` is the URL of the API; None if the journal does not contain it. `spec` lacks the values at
    the paths `redacted`; `fingerprint` is that of the complete spec. `before` are the machines that existed when the
    first run began, `made` the ids of the machines created so far.

    `is_released` is true after the release command has succeeded, `is_undoing` while a run rolls back, `is_finished`
    after the last run has ended, and `ok` if its report was ok.
    """

    spec: DeploySpec
    fingerprint: str
    api: str | None = None
    redacted: tuple[str, ...] = ()
    before: tuple[MachineBefore, ...] = ()
    made: tuple[str, ...] = ()
    is_released: bool = False
    is_undoing: bool = False
    is_finished: bool = False
    ok: bool = False

    def is_of(self, app: str, launch: str | None) -> bool:
        """Whether it belongs to this launch of this app."""
        return (self.spec.app, self.spec.launch) == (app, launch)

    def redacted_env(self, group: str) -> frozenset[str]:
        """Return the names of the redacted variables of a group."""
        prefix = "" if group == self.spec.group else f"{group}{OF_GROUP}"
        own = [
            path.removeprefix(prefix) for path in self.redacted if path.startswith((f"{prefix}env.", f"{prefix}env["))
        ]
        env = [path.removeprefix("env") for path in own]
        # In a path, a name that is not a plain word is quoted: env["A-B"].
        return frozenset(
            str(json.loads(name[1:-1])) if name.startswith("[") else name.removeprefix(".") for name in env
        )

    def check_api(self, url: str) -> None:
        """Raise InvalidInput if the deploy began at another API than the one at this URL."""
        if self.api not in {None, url}:
            raise InvalidInput(
                f"the journal is of a deploy at {self.api}, but this deploy goes to {url}",
                python=f"use another journal, or a client with base_url={self.api!r}",
                command=f"use another journal, or set FLY_FLAPS_BASE_URL={self.api}",
            )

    def check(self, spec: DeploySpec) -> None:
        """Raise InvalidInput if a spec of the same launch differs from the one in the journal."""
        if not self.is_of(spec.app, spec.launch):
            return
        if spec.fingerprint_of_all != self.fingerprint:
            lacking = ", ".join(path for path in self.redacted if path not in {RELEASE_COMMAND, VERIFICATION})
            problem = f"launch {spec.launch} has another config in the journal"
            if not lacking:
                raise InvalidInput(f"{problem}: use another launch name for this config")
            raise InvalidInput(
                f"{problem}, which does not contain {lacking} because they may be secret; state them again with the "
                "same values",
                python="environment variables with resumed(path, env={…}), other values with with_config(…)",
                command="with --env NAME=VALUE and --metadata NAME=VALUE",
            )
        if RELEASE_COMMAND in self.redacted and not (self.is_released or spec.release):
            raise InvalidInput(
                f"the release command of launch {spec.launch} has not succeeded yet, and the journal does not contain "
                "it because it may hold a secret",
                python="state it again with with_release_command(…)",
                command="state it again with --release-command",
            )
        if VERIFICATION in self.redacted and spec.verification is None:
            raise InvalidInput(
                f"the journal does not contain how machines of launch {spec.launch} are verified, because that is a "
                "function, or may hold a secret",
                python="state it again with verify(…)",
                command="state it again with --verify",
            )


def read_journal(path: "str | os.PathLike[str]") -> JournalReplay:
    """Read the last deploy in a journal; raises InvalidInput, with file and line, if it is not a journal."""
    name = os.fspath(path)
    replay: JournalReplay | None = None
    for number, line in journal_lines(name):
        try:
            replay = _replayed(replay, line)
        except (InvalidInput, KeyError, TypeError, ValueError, AttributeError, RecursionError, ExceptionGroup) as error:
            cause: Exception = error
            while isinstance(cause, ExceptionGroup):  # all errors of a value; the first is enough
                cause = cause.exceptions[0]
            raise InvalidInput(f"{name}, line {number}: not a line of a journal: {cause!r}") from error
    if replay is None:
        raise InvalidInput(f"{name} contains no planned deploy, so there is nothing to continue")
    return replay


def _replayed(replay: JournalReplay | None, line: Mapping[str, Any]) -> JournalReplay | None:
    """Return the state of a journal after one more line."""
    what = line["what"]
    # 1. A plan begins a deploy, or another run of the same launch, which keeps the machines before the first run.
    if what == "planned":
        spec, fingerprint = read_spec(line["deployment"]), line["fingerprint"]
        redacted = tuple(structure(line["withheld"], list[str]))
        api = structure(line.get("api"), str | None)  # type: ignore[arg-type]  # a union is not a type to mypy
        if replay and replay.is_of(spec.app, spec.launch) and (replay.api, replay.fingerprint) == (api, fingerprint):
            return evolve(replay, spec=spec, redacted=redacted, is_undoing=False, is_finished=False, ok=False)
        before = tuple(structure(line["before"], list[MachineBefore]))
        return JournalReplay(spec=spec, fingerprint=fingerprint, api=api, redacted=redacted, before=before)
    # 2. Lines before the first plan belong to no deploy.
    if replay is None:
        return None
    # 3. The lines that follow are of a rollback: machines that it creates are not of the launch.
    if what == "undoing":
        return evolve(replay, is_undoing=True)
    # 4. A machine has made progress: it was created, or it ran the release command.
    if what in {"stepped", "ended"} and not replay.is_undoing:
        if line["aim"] == Target.END:
            is_released = what == "ended" and line["phase"] == Phase.ENDED and not line["error"]
            return evolve(replay, is_released=replay.is_released or is_released)
        is_new = line["made"] and line["machine"] not in replay.made
        return evolve(replay, made=(*replay.made, line["machine"])) if is_new else replay
    # 5. The run has ended. An undo has a line of its own.
    if what == "finished" and line["strategy"] != "undo":
        return evolve(replay, is_finished=not line["cancelled"], ok=line["ok"] is True)
    # 6. Other words are of a later version, and are not needed here.
    return replay
