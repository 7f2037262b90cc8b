"""Every test runs in virtual time, leaves nothing running behind it, and finds nobody's token or CI job."""

import asyncio
import inspect
from collections.abc import AsyncIterator, Callable, Mapping

import pytest
import pytest_asyncio
from hypothesis import settings

from flyasync.testing import VirtualTimeLoop

# An example has no deadline: the time that it takes shows how busy the computer is.
settings.register_profile("flyasync", deadline=None)
settings.load_profile("flyasync")


def pytest_asyncio_loop_factories() -> Mapping[str, Callable[[], asyncio.AbstractEventLoop]]:
    return {"virtual": VirtualTimeLoop}


@pytest_asyncio.fixture
async def leave_no_task_behind() -> AsyncIterator[None]:
    yield
    left = asyncio.all_tasks() - {asyncio.current_task()}
    assert not left, f"tasks left running: {left}"


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if isinstance(item, pytest.Function) and inspect.iscoroutinefunction(item.function):
            item.fixturenames.insert(0, "leave_no_task_behind")


@pytest.fixture(autouse=True)
def no_account(monkeypatch: pytest.MonkeyPatch, tmp_path_factory: pytest.TempPathFactory) -> None:
    for name in (
        "FLY_ACCESS_TOKEN",
        "FLY_API_TOKEN",
        "FLY_FLAPS_BASE_URL",
        "FLY_API_HOSTNAME",
        "FLY_API_BASE_URL",
        "FLYASYNC_LIMITS",
        "FLYASYNC_NOTIFY_KEY",
        "GITHUB_ACTIONS",
        "GITHUB_ACTOR",
        "GITHUB_OUTPUT",
        "GITHUB_SHA",
        "GITHUB_STEP_SUMMARY",
    ):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("FLY_CONFIG_DIR", str(tmp_path_factory.getbasetemp() / "no-fly-config"))
