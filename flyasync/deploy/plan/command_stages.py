"""The stages of the release command and of the seed command, which precede all changes; pure."""

from attrs import evolve

from flyasync.deploy.plan.fleet import Fleet, group_of, is_in, tags
from flyasync.deploy.plan.plan import Adopt, Create, Lane, RunToEnd, Stage, Target, Track
from flyasync.deploy.plan.release_command import RELEASE_GROUP, ReleaseCommand
from flyasync.deploy.plan.spec import DeploySpec, DesiredMachine
from flyasync.models.config import MachineConfig
from flyasync.models.machine import GONE

SEED = "flyasync_seed"
"""The metadata key that tells the machine of a seed command from that of a release command: its launch."""

_LIMIT = "nothing changes unless the exit code is 0"


def commands(spec: DeploySpec, fleet: Fleet, shared: MachineConfig) -> tuple[tuple[Stage, ...], tuple[str, ...]]:
    """Return the stages of the commands of a deploy, and remarks on a seed command that does not run.

    `shared` is the config that the machines of the group will have.
    """
    stages = []
    if spec.release:
        config = spec.release.config(shared)
        create = Create(cause=f"to run {spec.release}", config=config)
        stages.append(_stage(spec.release, Target.END, create, _machine(spec, "release")))
    found = _seed(spec, fleet, shared) if spec.seed and is_empty(fleet) else None
    if isinstance(found, Stage):
        stages.append(found)
    return tuple(stages), (found,) if isinstance(found, str) else ()


def _seed(spec: DeploySpec, fleet: Fleet, shared: MachineConfig) -> Stage | str:
    """Return the stage of the seed command of an app without machines, or why it does not run."""
    assert spec.seed is not None  # noqa: S101 - the caller has checked it
    # 1. Only the first deploy of an app runs it.
    if earlier := [each for each in fleet.gone if group_of(each) not in {None, RELEASE_GROUP}]:
        return f"seed command: not run, since the app has had machines before, such as {earlier[0].name}"
    seeds = [each for each in (*fleet.machines, *fleet.others, *fleet.gone) if SEED in tags(each)]
    last = max(seeds, key=lambda each: each.current_version or "", default=None)
    end = last and last.exit_event
    # 2. No earlier deploy has run it, as far as is known. 3. One has, and it failed.
    if last is None or (end and end.exit_code):
        config = spec.seed.config(shared)
        config = evolve(config, metadata={**(config.metadata or {}), SEED: spec.launch})
        again = f"; on {last.id} it ended with exit code {end.exit_code}" if last and end else ""
        cause = f"to run {spec.seed}, in the first deploy of {spec.app}{again}"
        return _stage(spec.seed, Target.SEED, Create(cause=cause, config=config), _machine(spec, "seed"))
    # 4. It has succeeded. 5. It is gone, and its exit code is not known.
    if end and end.exit_code == 0:
        return f"seed command: not run again, since it ended with exit code 0 on {last.id} in an earlier deploy"
    if last.state in GONE:
        return (
            f"seed command: not run again, since {last.id} of an earlier deploy may have run it, and its exit code is "
            f"unknown: check the data, and run {spec.seed} by hand if it is missing"
        )
    # 6. It still runs: an earlier deploy was killed.
    adopt = Adopt(machine_id=last.id, cause="an earlier deploy began it, and it must not run twice")
    return _stage(spec.seed, Target.SEED, adopt, DesiredMachine(name=last.name, region=last.region, number=0))


def is_empty(fleet: Fleet) -> bool:
    """Whether an app has no machines, besides those of release and seed commands."""
    return all(is_in(each, RELEASE_GROUP) for each in (*fleet.machines, *fleet.others))


def _machine(spec: DeploySpec, command: str) -> DesiredMachine:
    """Return the machine that is created to run a command."""
    return DesiredMachine(name=f"{command}-{spec.group}".replace("_", "-"), region=spec.regions[0], number=0)


def _stage(command: ReleaseCommand, target: Target, first: Create | Adopt, machine: DesiredMachine) -> Stage:
    """Return the stage of a command: the machine that runs it is created, or adopted, and runs it to its end."""
    track = Track(
        machine=machine,
        machine_id=first.machine_id,
        steps=(first, RunToEnd(seconds=command.timeout, cause=_LIMIT)),
        config=first.config if isinstance(first, Create) else None,
        target=target,
    )
    return Stage(title=target.command, lanes=(Lane(region=machine.region, tracks=(track,)),))
