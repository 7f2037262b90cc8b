"""Launch: add machines, and change no existing ones."""

from collections.abc import Iterator
from typing import ClassVar

from attrs import frozen

from flyasync.deploy.plan.fleet import Fleet
from flyasync.deploy.plan.notes import remarks_of_launch, remarks_of_volumes
from flyasync.deploy.plan.plan import Adopt, Lane, Plan, Stage, Start, Step, TakeVolume, Track
from flyasync.deploy.plan.reconcile import RESTING
from flyasync.deploy.plan.sibling_config import Pattern
from flyasync.deploy.plan.spec import DeploySpec
from flyasync.deploy.plan.step_sequences import creation, goal
from flyasync.deploy.plan.strategies.registry import NAMES
from flyasync.deploy.plan.strategy import Strategy
from flyasync.errors import InvalidInput
from flyasync.models.machine import Machine, expected_checks
from flyasync.models.redaction import without_passwords


@frozen(kw_only=True)
class Launch(Strategy):
    """Add the machines of a launch that do not exist yet; change no other machine.

    This is what a deploy without a strategy does.
    """

    name: ClassVar[str] = "launch"
    only_adds: ClassVar[bool] = True
    default_requirement: ClassVar[float | str] = 1
    default_smoke: ClassVar[float] = 0.0

    def check(self, spec: DeploySpec) -> None:
        """Raise InvalidInput for settings that need a strategy."""
        asked = {
            "waves": spec.waves,
            "retire_groups": spec.retired_groups,
            "visible_to_flyctl": spec.is_visible_to_flyctl,
            "process_group": spec.group != "app",
            "a count of 0": 0 in spec.counts.values(),
            "replace": spec.replaces,
            "keep_counts": spec.keeps_counts,
            "verify_stopped": spec.verify_stopped != "auto",
        }
        if names := [name for name, is_asked in asked.items() if is_asked]:
            *most, last = (f"{name}()" for name in NAMES)
            raise InvalidInput(
                f"{' and '.join(names)} needs a strategy: a deploy without one only adds machines; "
                f"use {', '.join(most)} or {last}"
            )
        if spec.goal == "healthy" and not expected_checks(spec.config):
            raise InvalidInput(
                "waiting for healthy machines needs a check in the config",
                python="add one with with_check(…), or use wait_for('started')",
                command="add --port PORT and --check PATH, or use --wait started",
            )

    def plan(self, spec: DeploySpec, fleet: Fleet) -> Plan:
        """Return the rest of the launch: the machines that do not exist yet.

        Raises InvalidInput if the launch has machines with another config, since it never changes them.
        """
        for machine in fleet.machines:
            if machine.config is not None and not spec.made(machine):
                raise InvalidInput(
                    f"launch {spec.launch!r} was created with another config: {machine.name} runs "
                    f"{without_passwords(str(machine.image))}; use another launch name, or deploy the config that it "
                    "was created with"
                )
        stage = Stage(lanes=tuple(self._lane(spec, fleet, region) for region in spec.regions))
        return Plan(
            app=spec.app,
            launch=spec.launch,
            image=spec.image,
            fallback=spec.fallback,
            before=fleet,
            stages=(stage,) if stage.lanes else (),
            remarks=(*remarks_of_launch(spec, fleet), *_remarks_of_taken(spec, fleet, stage)),
        )

    def _lane(self, spec: DeploySpec, fleet: Fleet, region: str) -> Lane:
        """Return the lane of one region: existing machines are adopted, the others created."""
        machines = spec.machines(region)
        present = {machine.name: found for machine in machines if (found := fleet.named(machine.name))}
        cause = f"{region} has {len(present)} of {len(machines)} desired"
        volumes = iter(
            sorted(
                volume.id
                for volume in fleet.volumes
                if spec.volume and volume.name == spec.volume.name and volume.region == region and volume.is_free
            )
        )
        tracks = []
        for machine in machines:
            # An existing machine of the launch was created by an earlier run, and is never created twice.
            if there := present.get(machine.name):
                steps = tuple(_adoption(spec, there))
            else:
                pattern = Pattern.of(spec, fleet, None)
                volume = next(volumes, None) if spec.volume else None
                steps = tuple(creation(spec, pattern, pattern.config, cause, volume=volume))
            machine_id = there.id if there else None
            tracks.append(Track(machine=machine, machine_id=machine_id, steps=steps, config=spec.tagged))
        return Lane(region=region, tracks=tuple(tracks))


def _remarks_of_taken(spec: DeploySpec, fleet: Fleet, stage: Stage) -> Iterator[str]:
    """Yield remarks on the existing volumes that new machines get."""
    if spec.volume:
        steps = (step for lane in stage.lanes for track in lane.tracks for step in track.steps)
        taken = {step.volume_id for step in steps if isinstance(step, TakeVolume)}
        yield from remarks_of_volumes(spec.app, spec.volume, (each for each in fleet.volumes if each.id in taken))


def _adoption(spec: DeploySpec, machine: Machine) -> Iterator[Step]:
    """Yield the steps that adopt a machine of an earlier run, and wait until it is up unless autostop stopped it."""
    yield Adopt(machine_id=machine.id, cause="created by an earlier run of this launch")
    config = spec.tagged
    if spec.goal_of(config) is None or spec.rests(machine, config):
        return
    if machine.state in RESTING:
        yield Start(cause=f"is {machine.state}")
    yield from goal(spec, config)
