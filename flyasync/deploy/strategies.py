"""From what is wanted and what is there to a plan; pure."""

from collections.abc import Iterator

from flyasync.deploy.deployment import Deployment
from flyasync.deploy.fleet import Fleet
from flyasync.deploy.plan import Adopt, AwaitHealthy, AwaitStarted, Create, Lane, Plan, Stage, Start, Step, Track
from flyasync.errors import InvalidInput
from flyasync.models.machine import Machine


def launch(deployment: Deployment, fleet: Fleet) -> Plan:
    """Add the machines of a launch that are not there yet; touch no other machine.

    Raises InvalidInput when the launch was made with another config: its machines are never changed.
    """
    for machine in fleet.machines:
        _check_config(deployment, machine)
    return Plan(
        app=deployment.app,
        launch=deployment.launch,
        image=str(deployment.config.image),
        fallback=deployment.fallback,
        stages=(Stage(lanes=tuple(_lane(deployment, fleet, region) for region in deployment.regions)),),
    )


def _check_config(deployment: Deployment, machine: Machine) -> None:
    if machine.config is not None and not deployment.made(machine):
        raise InvalidInput(
            f"launch {deployment.launch!r} was made with another config: {machine.name} runs {machine.config.image}; "
            "use another launch for this one, or deploy what it was made with"
        )


def _lane(deployment: Deployment, fleet: Fleet, region: str) -> Lane:
    wanted = deployment.machines(region)
    there = sum(fleet.named(machine.name) is not None for machine in wanted)
    cause = f"{region} has {there} of the {len(wanted)} wanted"
    return Lane(
        region=region,
        tracks=tuple(
            Track(machine=machine, steps=tuple(_steps(deployment, fleet.named(machine.name), cause)))
            for machine in wanted
        ),
    )


def _steps(deployment: Deployment, present: Machine | None, cause: str) -> Iterator[Step]:
    if present is None:
        yield Create(cause=cause)
    else:
        yield Adopt(machine_id=present.id, cause="an earlier run of this launch made it")
        if deployment.goal is None or present.state in deployment.resting_states:
            return
        if present.state in {"stopping", "stopped", "suspending", "suspended"}:
            yield Start(cause=f"it is {present.state}")
    if deployment.goal is not None:
        yield AwaitStarted(cause=f"at most {deployment.timeout:g} s")
    if deployment.goal == "healthy":
        yield AwaitHealthy(cause="the config has checks")
