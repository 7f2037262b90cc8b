"""Fixtures for pytest, available in every project that has flyasync and pytest-asyncio installed.

    async def test_my_backend_makes_one_machine_per_user(fly, fly_emulator):
        await fly.apps.create("users", org_slug="personal")
        ...
        assert fly_emulator.counts()["createMachine", "users"] == 1

    @pytest.mark.fly_emulator(seed=7, capacity={"iad": 0}, faults=[Fault(does="crash", region="lhr")])
    async def test_my_backend_on_a_bad_day(fly): ...

`fly_emulator` is an `Emulator` that starts and ends with the test; the marker's arguments are the emulator's. `fly` is
a `FlyClient` bound to it. `fly_environment` points code that creates its own client to it, by the environment.
"""

from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest

import flyasync  # its names load on first use, so that a test run without these fixtures does not pay for them

try:
    from pytest_asyncio import fixture as _asyncio_fixture
except ImportError:  # anyio's plugin, for one, takes plain fixtures
    _asyncio_fixture: Callable[..., Any] = pytest.fixture  # type: ignore[no-redef]


def pytest_configure(config: pytest.Config) -> None:
    """Register the marker."""
    config.addinivalue_line("markers", "fly_emulator(**options): what the fixture fly_emulator is made with")


@_asyncio_fixture
async def fly_emulator(request: pytest.FixtureRequest) -> "AsyncIterator[flyasync.Emulator]":
    """Yield an emulator for this test only, with the arguments of the marker `fly_emulator`."""
    marker = request.node.get_closest_marker("fly_emulator")
    async with flyasync.Emulator(**(marker.kwargs if marker else {})) as emulator:
        yield emulator


@_asyncio_fixture
async def fly(fly_emulator: "flyasync.Emulator") -> "AsyncIterator[flyasync.FlyClient]":
    """Yield a client bound to the emulator."""
    async with flyasync.FlyClient(fly_emulator.token, base_url=fly_emulator.url, limits="memory") as client:
        yield client


@pytest.fixture
def fly_environment(fly_emulator: "flyasync.Emulator", monkeypatch: pytest.MonkeyPatch) -> dict[str, str]:
    """Set the environment variables that point any client to the emulator, and return them.

    The emulator runs on the test's own event loop: a test that starts another program must wait for it with
    `asyncio.create_subprocess_exec`, since a blocking call would keep the emulator from answering.
    """
    environment = fly_emulator.environment()
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    return environment
