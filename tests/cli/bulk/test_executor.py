"""What the workers of a dask cluster are told to have, and what of a mistake is never shown."""

import asyncio
from functools import partial
from typing import Any

import pytest
from distributed.protocol.pickle import dumps

from flyasync import Emulator
from flyasync.cli.bulk.executor import open_executor
from flyasync.cli.shared.exit_codes import CommandFailed
from flyasync.deploy.many.dask_executor import _portable
from flyasync.deploy.many.dask_worker import _connected
from flyasync.errors import InvalidInput
from tests.cli.driver import flyasync

TOKEN = "fm2_hunter2"


def gives(value: Any) -> Any:
    return value


def test_the_help_says_what_each_worker_needs() -> None:
    said = " ".join(flyasync("bulk", "--help").stdout.split())
    assert "FLYASYNC_LIMITS=redis://HOST:PORT/DB in its environment, so that all workers share the rate limits" in said


def test_a_port_where_something_else_answers_is_no_scheduler() -> None:
    async def main() -> None:
        async with Emulator() as emulator:
            address = emulator.url.replace("http://", "tcp://")
            with pytest.raises(CommandFailed, match=f"no dask scheduler responds at {address}"):
                async with open_executor(address, lambda _: None, patience=1):
                    pass

    asyncio.run(main())


def test_a_token_in_the_place_of_a_function_is_named_by_its_kind_alone() -> None:
    with pytest.raises(InvalidInput, match=r"^connect is a str, but must be a function that returns a FlyClient$"):
        _portable(TOKEN)


@pytest.mark.parametrize(
    ("value", "kind"), [(TOKEN, "str"), ({"token": TOKEN}, "dict"), (gives, "gives"), (None, "None")]
)
def test_what_a_function_gives_in_the_place_of_a_client_is_named_by_its_kind_alone(value: Any, kind: str) -> None:
    with pytest.raises(InvalidInput, match=rf"^connect returned {kind}, but must return a FlyClient$"):
        _connected(dumps(partial(gives, value)))  # type: ignore[no-untyped-call]
