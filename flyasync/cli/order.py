"""Order: what a command line asks to be deployed, and where."""

import re
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager

import click
from attrs import evolve, field, frozen

from flyasync.api.client import FlyClient
from flyasync.deploy.builder import DeployBuilder
from flyasync.deploy.deployment import Goal
from flyasync.emulator.faults import Fault
from flyasync.emulator.server import Emulator
from flyasync.errors import InvalidInput
from flyasync.models.machine import expected_checks
from flyasync.models.service import Check


@frozen(kw_only=True)
class Rehearsal:
    """A deploy on this machine, against an emulator that lives as long as the command."""

    capacity: Mapping[str, int] = field(factory=dict)
    seed: int | None = None
    boot: float | None = None
    faults: tuple[Fault, ...] = ()

    def emulator(self) -> Emulator:
        """Make the emulator; raises InvalidInput for what it does not take."""
        boot = (1.0, 3.0) if self.boot is None else (self.boot, self.boot)
        try:
            return Emulator(capacity=self.capacity, seed=self.seed or 0, boot=boot, faults=self.faults)
        except ValueError as error:
            raise InvalidInput(str(error)) from error


@frozen(kw_only=True)
class Order:
    """A deploy to carry out: `org` is where its app is made if it is not there, `rehearsal` stands in for Fly.io."""

    builder: DeployBuilder
    org: str | None = None
    is_dry: bool = False
    rehearsal: Rehearsal | None = None


@asynccontextmanager
async def client(order: Order) -> AsyncIterator[FlyClient]:
    """Open the API that the order is for: Fly.io as the environment names it, or an emulator with the app in it."""
    if order.rehearsal is None:
        async with FlyClient() as fly:
            yield fly
        return
    async with (
        order.rehearsal.emulator() as emulator,
        FlyClient(emulator.token, base_url=emulator.url) as fly,
    ):
        await fly.apps.create(order.builder.app, org_slug=order.org or "personal")
        yield fly


def rehearsal(
    *, local: bool, capacity: Mapping[str, int], seed: int | None, boot: float | None, faults: tuple[Fault, ...]
) -> Rehearsal | None:
    """Say what `--local` and the options that go with it ask for."""
    if local:
        return Rehearsal(capacity=capacity, seed=seed, boot=boot, faults=faults)
    if capacity or faults or seed is not None or boot is not None:
        raise click.UsageError("--capacity, --seed, --boot and --fault shape the emulator, so they need --local")
    return None


def builder(
    app: str,
    *,
    image: str,
    region: tuple[str, ...],
    count: int,
    size: str | None,
    cpus: int | None,
    memory: int | None,
    env: Mapping[str, str],
    metadata: Mapping[str, str],
    port: int | None,
    check: str | None,
    fallback: tuple[str, ...],
    wait: str | None,
    timeout: float | None,
    require: str,
    launch: str | None,
    roll_back: bool,
) -> DeployBuilder:
    """Make the builder that the options describe; raises InvalidInput for what the API would refuse."""
    made = (
        DeployBuilder(app)
        .to_regions(*region)
        .count(count)
        .with_image(image)
        .fallback(*fallback)
        .require(_requirement(require))
        .roll_back_on_failure(roll_back)
    )
    made = made.with_env(env) if env else made
    made = made.with_metadata(metadata) if metadata else made
    made = made if launch is None else made.with_launch(launch)
    made = _sized(made, size, cpus, memory)
    made = _serving(made, port, check)
    return _waiting(made, wait, timeout)


def _requirement(text: str) -> float | str:
    """Read a share such as 0.6 as the number it is; the builder reads all else."""
    return float(text) if re.fullmatch(r"\d*\.\d+", text) else text


def _sized(made: DeployBuilder, size: str | None, cpus: int | None, memory: int | None) -> DeployBuilder:
    if size is not None and cpus is not None:
        raise click.UsageError("--size names the CPUs already, so --cpus cannot go with it")
    if size is not None:
        return made.with_size(size, memory_mb=memory)
    return made.with_guest(cpus=cpus, memory_mb=memory) if (cpus, memory) != (None, None) else made


def _serving(made: DeployBuilder, port: int | None, check: str | None) -> DeployBuilder:
    if port is None:
        if check is not None:
            raise click.UsageError("--check asks the service on --port, so it needs --port")
        return made
    made = made.with_service(internal_port=port)
    if check is None:
        return made
    if not check.startswith("/"):
        raise click.UsageError(f"--check takes a path that begins with a slash, not {check!r}")
    question = Check(type="http", method="get", path=check, interval=10, timeout=5)
    services = tuple(evolve(service, checks=(question,)) for service in made.config.services or ())
    return made.with_config(evolve(made.config, services=services))


def _waiting(made: DeployBuilder, wait: str | None, timeout: float | None) -> DeployBuilder:
    if wait == "none" and timeout is not None:
        raise click.UsageError("--timeout bounds the wait, so it cannot go with --wait none")
    if wait == "healthy" and not expected_checks(made.config):
        raise click.UsageError("--wait healthy needs a check to wait for: add --port and --check PATH")
    if wait is None:
        return made.wait_for(timeout=timeout)
    goals: Mapping[str, Goal] = {"started": "started", "healthy": "healthy", "none": None}
    return made.wait_for(goals[wait], timeout=timeout)
