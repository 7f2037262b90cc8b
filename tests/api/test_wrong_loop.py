import asyncio
import os
from collections.abc import Callable
from multiprocessing import get_context

import pytest

from flyasync.api.client import FlyClient
from flyasync.emulator import Emulator
from flyasync.errors import WrongLoop
from flyasync.testing import EmulatorThread
from tests.api.client_on_emulator import client


async def test_a_client_belongs_to_the_loop_of_its_first_call(emulator: Emulator, fly: FlyClient) -> None:
    await fly.apps.list("personal")
    sent = emulator.counts()

    def elsewhere() -> None:
        with pytest.raises(WrongLoop, match="create one for each event loop"):
            asyncio.run(fly.apps.list("personal"))

    await asyncio.to_thread(elsewhere)
    assert emulator.counts() == sent
    await fly.apps.list("personal")


def test_a_client_may_be_created_before_the_loop_that_uses_it() -> None:
    with EmulatorThread() as emulator:
        fly = client(emulator)

        async def use() -> None:
            async with fly:
                await fly.apps.list("personal")

        asyncio.run(use())


def test_without_a_loop_of_asyncio_the_error_names_it() -> None:
    call = FlyClient("token", base_url="http://127.0.0.1:1").apps.list("personal")
    with pytest.raises(WrongLoop, match="flyasync needs asyncio, not trio"):
        call.send(None)  # as another library than asyncio would


def _in_child(work: Callable[[], None]) -> int | None:
    child = get_context("fork").Process(target=work)
    child.start()
    child.join()
    return child.exitcode


@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
async def test_after_a_fork_the_error_names_it(fly: FlyClient) -> None:
    await fly.apps.list("personal")

    def child() -> None:
        try:
            asyncio.new_event_loop().run_until_complete(fly.apps.list("personal"))
        except WrongLoop as error:
            os._exit(7 if "forked" in str(error) else 1)
        os._exit(2)

    assert _in_child(child) == 7
