"""Reads a journal: the spec of the deploy, the machines before it, and how far it got.

`DeployBuilder.resumed` makes a builder from it. The plan finds existing machines by their launch tag, so the deploy
only does what is left.
"""

import os
from collections.abc import Mapping
from typing import Any, ClassVar

from attrs import evolve, frozen

from flyasync.deploy.plan.plan import Decision, Target
from flyasync.deploy.plan.spec import DeploySpec
from flyasync.deploy.reporting.fleet_record import MachineRecord, activity_changes, autostops, fleet_changes, recorded
from flyasync.deploy.reporting.journal_file import journal_lines
from flyasync.deploy.reporting.phase import Phase
from flyasync.deploy.reporting.saved_deploy import SavedDeploy, first_of
from flyasync.deploy.reporting.spec_json import read_spec
from flyasync.errors import FleetChanged, InvalidInput
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
class JournalReplay(SavedDeploy):
    """The state of the last deploy in a journal, over all runs of its launch.

    `before` are the machines that existed when the first run began, `made` the ids of the machines created so far.
    `paused` are the machines at the end of the last run if it paused after a wave, else None.

    `is_released` and `is_seeded` are true after the release and seed commands have succeeded, `is_undoing` while a run
    rolls back, `is_finished` after the last run has ended, and `ok` if its report was ok.
    """

    noun: ClassVar[str] = "journal"
    method: ClassVar[str] = "resumed"

    before: tuple[MachineBefore, ...] = ()
    made: tuple[str, ...] = ()
    paused: tuple[MachineRecord, ...] | None = None
    is_undoing: bool = False
    is_finished: bool = False
    ok: bool = False

    def restated(self, env: Mapping[str, str] | None) -> DeploySpec:
        """Return the spec to continue with; a pause that was reached is over, one that lies ahead remains."""
        spec = super().restated(env)
        return spec if self.paused is None else evolve(spec, pause_after=None)

    @property
    def demands_fleet(self) -> bool:
        """Whether the deploy has paused, so that it may go on only with the fleet as it was then."""
        return self.paused is not None

    def accepted(self, decision: Decision) -> Decision:
        """Return a decision that is made now; raises FleetChanged if the fleet has changed since the deploy paused."""
        if self.paused is None:
            return decision
        now = recorded(decision.machines)
        # The proxy may stop and start some machines at any time, which is no reason to ask again.
        by_proxy = {each.name for each in self.paused if autostops(each)}
        activity = activity_changes(self.paused, now)
        changes = [*fleet_changes(self.paused, now), *(text for name, text in activity if name not in by_proxy)]
        if changes:
            raise FleetChanged(
                f"the deploy cannot continue, because the fleet has changed since launch {self.spec.launch} paused",
                changes,
                python="execute the deploy itself again, which plans anew",
                command="run the deploy itself again, which plans anew",
            )
        return decision


def read_journal(path: "str | os.PathLike[str]") -> JournalReplay:
    """Read the last deploy in a journal; raises InvalidInput, with file and line, if it is not a journal."""
    name = os.fspath(path)
    replay: JournalReplay | None = None
    for number, line in journal_lines(name):
        try:
            replay = _replayed(replay, line)
        except (InvalidInput, KeyError, TypeError, ValueError, AttributeError, RecursionError, ExceptionGroup) as error:
            raise InvalidInput(f"{name}, line {number}: not a line of a journal: {first_of(error)!r}") from error
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
            begun = evolve(replay, paused=None, is_undoing=False, is_finished=False, ok=False)
            return evolve(begun, spec=spec, redacted=redacted)
        before = tuple(structure(line["before"], list[MachineBefore]))
        return JournalReplay(spec=spec, fingerprint=fingerprint, api=api, redacted=redacted, before=before)
    # 2. Lines before the first plan belong to no deploy.
    if replay is None:
        return None
    # 3. The lines that follow are of a rollback: machines that it creates are not of the launch.
    if what == "undoing":
        return evolve(replay, is_undoing=True)
    # 4. A machine has made progress: it was created, or it ran the release or seed command.
    if what in {"stepped", "ended"} and not replay.is_undoing:
        if line["aim"] in {Target.END, Target.SEED}:
            has_succeeded = what == "ended" and line["phase"] == Phase.ENDED and not line["error"]
            if line["aim"] == Target.END:
                return evolve(replay, is_released=replay.is_released or has_succeeded)
            return evolve(replay, is_seeded=replay.is_seeded or has_succeeded)
        is_new = line["made"] and line["machine"] not in replay.made
        return evolve(replay, made=(*replay.made, line["machine"])) if is_new else replay
    # 5. The run has paused after a wave.
    if what == "paused":
        return evolve(replay, paused=tuple(structure(line["machines"], list[MachineRecord])))
    # 6. The run has ended. An undo has a line of its own.
    if what == "finished" and line["strategy"] != "undo":
        return evolve(replay, is_finished=not line["cancelled"], ok=line["ok"] is True)
    # 7. Other words are of a later version, and are not needed here.
    return replay
