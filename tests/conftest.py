"""Every test runs in virtual time, leaves nothing running behind it, and finds nobody's token or CI job."""

import asyncio
import gc
import inspect
import os
import shutil
from collections import Counter
from collections.abc import AsyncIterator, Callable, Generator, Iterator, Mapping
from typing import Any

import pytest
import pytest_asyncio
from hypothesis import settings

from flyasync.testing import VirtualTimeLoop

# An example has no deadline: the time that it takes shows how busy the computer is.
settings.register_profile("flyasync", deadline=None)
settings.load_profile("flyasync")

COVERED_CASES = 2
"""With --cov the first cases of each test are measured: measuring takes as long as the test itself."""


LONGEST = ("tests/typing/", "tests/benchmarks/")
"""Tests that come first: at the end of a run one process would wait for another that has them."""


def pytest_asyncio_loop_factories() -> Mapping[str, Callable[[], asyncio.AbstractEventLoop]]:
    if os.environ.get("FLYASYNC_TEST_LOOP") == "uvloop":
        import uvloop

        return {"uvloop": uvloop.new_event_loop}
    return {"virtual": VirtualTimeLoop}


@pytest.hookimpl(wrapper=True)
def pytest_collection() -> Generator[None, object, object]:
    # Collected tests and imported modules live as long as the session: no collection of garbage looks through them.
    gc.disable()
    try:
        return (yield)
    finally:
        gc.collect()
        gc.freeze()
        # What tests leave is mostly freed without a collection: a tenth as many look through what is alive.
        gc.set_threshold(10_000)
        gc.enable()


@pytest_asyncio.fixture
async def leave_no_task_behind() -> AsyncIterator[None]:
    yield
    left = asyncio.all_tasks() - {asyncio.current_task()}
    assert not left, f"tasks left running: {left}"


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    items.sort(key=lambda item: not item.nodeid.startswith(LONGEST))
    cases = Counter[Callable[..., object]]()
    for item in items:
        if not isinstance(item, pytest.Function):
            continue
        if inspect.iscoroutinefunction(item.function):
            item.fixturenames.insert(0, "leave_no_task_behind")
        cases[item.function] += 1
        if cases[item.function] > COVERED_CASES:
            item.add_marker("no_cover")


@pytest.fixture(scope="session")
def browser() -> Iterator[Any]:
    """Open Chromium once for all tests of pages: Playwright runs only once in a thread."""
    from playwright.sync_api import sync_playwright

    chromium = shutil.which("chromium")
    assert chromium, "Chromium is not installed: apt-get install chromium"
    with sync_playwright() as playwright:
        opened = playwright.chromium.launch(executable_path=chromium, args=["--no-sandbox"])
        yield opened
        opened.close()


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
