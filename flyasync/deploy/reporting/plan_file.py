"""A plan in a file: what `save_plan` writes, and `from_plan` reads; applying it does exactly that, or nothing."""

import json
import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from hashlib import sha256
from itertools import zip_longest
from pathlib import Path
from typing import ClassVar, Self

from attrs import evolve, frozen

from flyasync.api.machines.create_once import LAUNCH
from flyasync.deploy.plan.fleet import Fleet, tags
from flyasync.deploy.plan.plan import Decision, Lane, Track
from flyasync.deploy.plan.spec import DeploySpec
from flyasync.deploy.reporting.fleet_record import MachineRecord, activity_changes, fleet_changes, recorded
from flyasync.deploy.reporting.private_file import write_private
from flyasync.deploy.reporting.redacted_lines import RedactedLines
from flyasync.deploy.reporting.saved_deploy import SavedDeploy, first_of
from flyasync.deploy.reporting.spec_json import read_spec, without_secrets, write_spec
from flyasync.errors import FleetChanged, InvalidInput
from flyasync.models.json.codec import structure, unstructure

KIND = "flyasync plan"
FORMAT = 1
"""The version of the format; a file of another version is refused."""


@frozen(kw_only=True)
class PlannedTrack:
    """The steps of one machine in a plan, as text, and in which stage and lane they run.

    `config` is a hash of the config that the machine will have, without values that may be secret.
    """

    name: str
    stage: int
    title: str | None
    region: str
    group: str
    width: int | None
    steps: tuple[str, ...]
    machine_id: str | None = None
    config: str | None = None

    @classmethod
    def of(cls, number: int, title: str | None, lane: Lane, track: Track, redacted: RedactedLines) -> Self:
        """Return what is recorded of a track of stage `number`."""
        public = None if track.config is None else without_secrets(unstructure(track.config))[0]
        return cls(
            name=track.machine.name,
            stage=number,
            title=title,
            region=lane.region,
            group=lane.group,
            width=lane.width,
            steps=tuple(redacted.of_texts(line for step in track.steps for line in step.lines())),
            machine_id=track.machine_id,
            config=None if public is None else sha256(json.dumps(public, sort_keys=True).encode()).hexdigest()[:16],
        )


@frozen(kw_only=True)
class VolumeRecord:
    """A volume as it was observed; `machine` is the id of the machine that holds it."""

    id: str
    name: str
    region: str
    machine: str | None = None

    def __str__(self) -> str:
        holder = f"attached to {self.machine}" if self.machine else "unattached"
        return f"volume {self.name} ({self.id}) in {self.region}, {holder}"


@frozen(kw_only=True)
class SavedPlan(SavedDeploy):
    """A plan that a file contains: the spec, the steps of each machine, and the fleet that it was made from.

    `path` is the file. `spec` also has what was observed: the digest of the image, and the fingerprint of the secrets.
    """

    noun: ClassVar[str] = "plan"
    method: ClassVar[str] = "from_plan"

    path: str
    tracks: tuple[PlannedTrack, ...]
    machines: tuple[MachineRecord, ...]
    volumes: tuple[VolumeRecord, ...]

    @property
    def demands_fleet(self) -> bool:
        """Whether the plan may be applied only to the fleet that it was made from: always."""
        return True

    def check(self, spec: DeploySpec) -> None:
        """Raise InvalidInput if a spec is not the one in the file, with its redacted values."""
        if not self.is_of(spec.app, spec.launch):
            raise InvalidInput(f"{self.path} is the plan of launch {self.spec.launch} of {self.spec.app}, and no other")
        super().check(spec)

    def accepted(self, decision: Decision) -> Decision:
        """Return a decision that is made now; raises FleetChanged if it is not the plan of the file.

        1. There is nothing left to do: the plan is applied already.
        2. A machine that the plan is about has changed, even if the same steps would follow.
        3. The steps would be others, for instance because a machine has stopped.
        """
        plan, launch = decision.plan, self.spec.launch
        if self.tracks and not plan.has_changes:
            remark = "nothing is left to do: the fleet is already as the plan in the file leaves it"
            return evolve(decision, plan=evolve(plan, remarks=(*plan.remarks, remark)))
        now = recorded(decision.machines)
        changes = [*fleet_changes(self.machines, now)]
        if (tracks := _tracks(decision)) != self.tracks:
            changes += self._reasons(decision, now, tracks)
            changes = changes or list(_other_steps(self.tracks, tracks))
        if not changes:
            return decision
        has_begun = any(tags(each).get(LAUNCH) == launch for each in decision.machines)
        raise FleetChanged(
            f"{self.path} cannot be applied, because the fleet has changed since the plan was made",
            changes,
            python="plan again with save_plan(…)" + (", or continue with resumed(…)" if has_begun else ""),
            command=f"plan again with flyasync deploy … --dry-run --out {self.path}"
            + (f", or continue launch {launch} with flyasync deploy --resume JOURNAL" if has_begun else ""),
        )

    def _reasons(
        self, decision: Decision, now: Sequence[MachineRecord], tracks: Sequence[PlannedTrack]
    ) -> Iterator[str]:
        """Yield what else has changed and may explain that the steps are others."""
        affected = {each.name for each in {*self.tracks} ^ {*tracks}}
        yield from (text for name, text in activity_changes(self.machines, now) if name in affected)
        names = {group.volume.name for group in decision.spec.groups if group.volume}
        before, after = set(self.volumes), set(_volumes(decision.plan.before))
        for volumes, what in ((before - after, "was there"), (after - before, "is there now")):
            yield from (f"{each}, {what}" for each in sorted(volumes, key=str) if each.name in names)
        if self.spec.secrets != decision.spec.secrets:
            yield "the secrets of the app have changed"
        if self.spec.digest != decision.spec.digest:
            yield f"the image was {self.spec.image}, and is {decision.spec.image}"


def _other_steps(before: Iterable[PlannedTrack], after: Iterable[PlannedTrack]) -> Iterator[str]:
    """Yield each machine whose steps differ between two plans, with the first line that differs."""
    was, now = ({(each.stage, each.name): each for each in tracks} for tracks in (before, after))
    for key in sorted(was.keys() | now.keys()):
        old, new = was.get(key), now.get(key)
        if old == new:
            continue
        lines = zip_longest(old.steps if old else (), new.steps if new else (), fillvalue="nothing")
        first = next((pair for pair in lines if pair[0] != pair[1]), None)
        what = f"planned was {first[0]!r}, now it is {first[1]!r}" if first else "its config or its stage is another"
        yield f"{key[1]}: {what}"


def _tracks(decision: Decision) -> tuple[PlannedTrack, ...]:
    redacted = RedactedLines.of(write_spec(decision.spec)[1])
    return tuple(
        PlannedTrack.of(number, stage.title, lane, track, redacted)
        for number, stage in enumerate(decision.plan.stages, start=1)
        for lane in stage.lanes
        for track in lane.tracks
    )


def _volumes(fleet: Fleet | None) -> tuple[VolumeRecord, ...]:
    return tuple(
        VolumeRecord(id=each.id, name=each.name, region=each.region, machine=each.attached_machine_id)
        for each in (fleet.volumes if fleet else ())
    )


def write_plan(path: "str | os.PathLike[str]", decision: Decision, api: str) -> None:
    """Write a plan that is made with the API at this URL to a file that only its owner may read.

    The file does not contain values that may be secret. Raises InvalidInput if it cannot be written.
    """
    public, redacted = write_spec(decision.spec)
    lines = RedactedLines.of(redacted).of_texts(str(decision.plan).splitlines())
    document = {
        "kind": KIND,
        "format": FORMAT,
        "api": api,
        "app": decision.spec.app,
        "launch": decision.spec.launch,
        "image": decision.plan.image,
        "plan": lines,
        "deployment": public,
        "fingerprint": decision.spec.fingerprint_of_all,
        "redacted": list(redacted),
        "tracks": unstructure(_tracks(decision)),
        "machines": unstructure(recorded(decision.machines)),
        "volumes": unstructure(_volumes(decision.plan.before)),
    }
    try:
        write_private(Path(path), json.dumps(document, indent=1) + "\n")
    except OSError as error:
        raise InvalidInput(f"the plan cannot be written to {os.fspath(path)}: {error.strerror}") from error


def read_plan(path: "str | os.PathLike[str]") -> SavedPlan:
    """Read a plan that `write_plan` has written; raises InvalidInput for any other file."""
    name = os.fspath(path)
    try:
        document = json.loads(Path(path).read_text(encoding="utf-8"))
    except OSError as error:
        raise InvalidInput(f"the plan {name} cannot be read: {error.strerror}") from error
    except (ValueError, RecursionError) as error:
        raise InvalidInput(f"{name} is not a plan: {error}") from error
    if not isinstance(document, Mapping) or document.get("kind") != KIND:
        raise InvalidInput(
            f"{name} is not a plan",
            python="write one with save_plan(…)",
            command="write one with flyasync deploy … --dry-run --out FILE",
        )
    if document.get("format") != FORMAT:
        raise InvalidInput(
            f"{name} has the format {document.get('format')!r}, but this version of flyasync reads only {FORMAT}: plan "
            "again with this version, or apply it with the version that made it"
        )
    try:
        return SavedPlan(
            path=name,
            spec=read_spec(document["deployment"]),
            fingerprint=structure(document["fingerprint"], str),
            api=structure(document["api"], str),
            redacted=tuple(structure(document["redacted"], list[str])),
            tracks=tuple(structure(document["tracks"], list[PlannedTrack])),
            machines=tuple(structure(document["machines"], list[MachineRecord])),
            volumes=tuple(structure(document["volumes"], list[VolumeRecord])),
        )
    except (InvalidInput, KeyError, TypeError, ValueError, AttributeError, RecursionError, ExceptionGroup) as error:
        raise InvalidInput(f"{name} is not a plan: {first_of(error)!r}") from error
