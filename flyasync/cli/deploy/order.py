"""Order: what a command line asks to be deployed, and where."""

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path

import click
from attrs import field, frozen

from flyasync.api.client import FlyClient
from flyasync.deploy.builder import DeployBuilder
from flyasync.emulator.core.faults import Fault
from flyasync.emulator.server import Emulator
from flyasync.errors import InvalidInput


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
    """A deploy to carry out, or with `undoes` one to be undone; `is_dry` for a look at the plan only.

    `org` is where its app is made if it is not there, `rehearsal` stands in for Fly.io, and `html` is the file for the
    report as a page.
    """

    builder: DeployBuilder
    org: str | None = None
    is_dry: bool = False
    undoes: bool = False
    html: Path | None = None
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
        FlyClient(emulator.token, base_url=emulator.url, limits="memory") as fly,
    ):
        await fly.apps.create(order.builder.app, org_slug=order.org or "personal")
        if order.org is None:  # it stands in for an app that is there, and so has been given an address
            await fly.ip_assignments.create(order.builder.app, type="shared_v4")
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
