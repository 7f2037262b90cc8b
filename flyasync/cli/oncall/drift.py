"""Drift: how the machines of a group differ from one another, and from a file; pure."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Final

from attrs import evolve, field, frozen

from flyasync.deploy.plan.config_merge import SECRETS, SECRETS_VERSION, changes, observed
from flyasync.deploy.plan.fleet import group_of, in_order, tags
from flyasync.deploy.plan.machine_roles import role
from flyasync.deploy.plan.plan import Create, Destroy, GiveUp, Plan, Track, Update
from flyasync.deploy.plan.release_command import RELEASE_GROUP
from flyasync.deploy.plan.sibling_config import inherited
from flyasync.models.config import MachineConfig
from flyasync.models.diff import Change
from flyasync.models.machine import GONE, Machine

_OF_ONE_DEPLOY: Final = frozenset({
    "fly_release_id", "fly_release_version", "fly_flyctl_version", "fly_builder_id", "fly_previous_alloc",
})  # fmt: skip
"""Metadata of flyctl that names the deploy of a machine, and changes nothing of what it runs."""


@frozen(kw_only=True)
class Difference:
    """How one machine differs: `what` in words, and the `changes` that would remove the difference.

    `id` is None for a machine that is missing.
    """

    group: str
    name: str
    id: str | None
    region: str
    what: str
    changes: Sequence[Change] = field(default=(), repr=False)


@frozen(kw_only=True)
class Drift:
    """The differences of an app, and the machines that could not be compared, since their configs are unknown.

    `unstated` are groups of the app that are not in the file.
    """

    differences: Sequence[Difference]
    unknown: Sequence[Machine] = ()
    unstated: Sequence[str] = ()

    @property
    def is_any(self) -> bool:
        """Whether there is drift."""
        return bool(self.differences or self.unstated)


def members(machines: Iterable[Machine], groups: Sequence[str] = ()) -> tuple[Machine, ...]:
    """Return the machines that exist, of these groups or of all; not those of release commands."""
    there = (machine for machine in machines if machine.state not in GONE and group_of(machine) != RELEASE_GROUP)
    return in_order(machine for machine in there if not groups or group_of(machine) in groups)


def among(machines: Sequence[Machine]) -> Drift:
    """Return the differences between the machines of each group.

    A machine is compared with those of its role: a standby has no services. The config that most of them have counts;
    of two that equally many have, that of the oldest machine.
    """
    unknown = [machine for machine in machines if machine.config is None]
    by_kind: dict[tuple[str, str], list[Machine]] = {}
    for machine in machines:
        if machine.config is not None:
            by_kind.setdefault((group_of(machine) or "", role(machine.config)), []).append(machine)
    differences = [each for (group, _), those in by_kind.items() if group for each in _among(group, those)]
    return Drift(differences=differences, unknown=unknown)


def _among(group: str, machines: Sequence[Machine]) -> Iterator[Difference]:
    """Yield the differences of machines from the config that most of them have."""
    clusters: list[tuple[MachineConfig, list[Machine]]] = []
    # The oldest first: of clusters of equal size, `max` returns the first.
    for machine in sorted(machines, key=lambda each: (str(each.created_at or ""), each.id)):
        config = _comparable(machine)
        alike = next((those for one, those in clusters if not changes(one, config)), None)
        if alike is None:
            clusters.append((config, [machine]))
        else:
            alike.append(machine)
    usual, most = max(clusters, key=lambda each: len(each[1]))
    for config, those in clusters:
        for machine in those if config is not usual else ():
            yield Difference(
                group=group,
                name=machine.name,
                id=machine.id,
                region=machine.region,
                what=f"differs from {len(most)} of {len(machines)} machines, such as {most[0].name}",
                changes=changes(config, usual),
            )


def _comparable(machine: Machine) -> MachineConfig:
    """Return the part of a machine's config in which it should not differ from others of its group."""
    config = observed(machine) or MachineConfig()
    made = inherited(config)
    metadata = {key: value for key, value in (made.metadata or {}).items() if key not in _OF_ONE_DEPLOY}
    started_with = {key: value for key, value in tags(machine).items() if key in {SECRETS, SECRETS_VERSION}}
    return evolve(made, metadata={**metadata, **started_with})


def against(plan: Plan, machines: Sequence[Machine], *, source: str, with_images: bool) -> Drift:
    """Return what a converging plan would change, as differences from the file `source`.

    Without images, those that the plan would change do not count.
    """
    found = (_of_track(track, source, with_images=with_images) for track in plan.tracks)
    groups = {group_of(machine) for machine in machines} - {None, *plan.groups}
    return Drift(
        differences=[each for each in found if each],
        unstated=sorted(filter(None, groups)),
    )


def _of_track(track: Track, source: str, *, with_images: bool) -> Difference | None:
    """Return what the steps of one machine show; None if they only start it or wait."""
    steps: Mapping[type, Create | Destroy | GiveUp | Update] = {
        type(step): step for step in track.steps if isinstance(step, Create | Destroy | GiveUp | Update)
    }
    found: tuple[Change, ...] = ()
    if create := steps.get(Create):
        what = f"is missing: {create.cause}"
    elif destroy := steps.get(Destroy):
        what = f"would be destroyed: {destroy.cause}"
    elif isinstance(update := steps.get(Update), Update):
        found = tuple(each for each in update.changes if with_images or each.path != "image")
        if update.changes and not found:
            return None
        what = f"differs from {source}: {update.cause}" if not found else f"differs from {source}"
    elif stuck := steps.get(GiveUp):
        what = f"cannot be updated: {stuck.cause}"
    else:
        return None
    machine = track.machine
    return Difference(
        group=machine.group,
        name=machine.name,
        id=track.machine_id,
        region=machine.region,
        what=what,
        changes=found,
    )
