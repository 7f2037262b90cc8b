"""BulkOrder: what a command line asks to be deployed to many apps, and where."""

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path

from attrs import field, frozen

from flyasync.api.client import FlyClient
from flyasync.cli.bulk.builders import Builders
from flyasync.cli.bulk.rows_file import Row
from flyasync.cli.deploy.order import Rehearsal
from flyasync.emulator.world import apps
from flyasync.errors import MissingToken


@frozen(kw_only=True)
class BulkOrder:
    """A run to carry out: the rows of a file by their apps, how, and where; `is_dry` for a look only.

    `executor` is the address of a dask scheduler, None for this process; `org` is where apps are made that are not
    there, and `rehearsal` stands in for Fly.io.
    """

    source: str
    rows: Mapping[str, Row] = field(repr=False)
    builders: Builders = field(repr=False)
    at_once: int
    max_failures: int | None = None
    launch: str | None = None
    journal: Path | None = None
    executor: str | None = None
    org: str | None = None
    is_dry: bool = False
    rehearsal: Rehearsal | None = None


@asynccontextmanager
async def client(order: BulkOrder) -> AsyncIterator[FlyClient]:
    """Open the API that the order is for: Fly.io as the environment names it, or an emulator with the apps in it.

    Where nothing is asked from here, no token is needed: each worker has its own.
    """
    if order.rehearsal is None:
        async with quiet() if order.executor else FlyClient() as fly:
            yield fly
        return
    async with (
        order.rehearsal.emulator() as emulator,
        FlyClient(emulator.token, base_url=emulator.url, limits="memory") as fly,
    ):
        for app in () if order.org else order.rows:
            # Through the API each of them would take a second.
            apps.create(emulator.world, app, org_slug="personal", network="")
        yield fly


def quiet() -> FlyClient:
    """Make a client that says which API it is and how fast that may be asked, but never asks."""
    try:
        return FlyClient()
    except MissingToken:
        return FlyClient("none")
