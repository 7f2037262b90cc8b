"""Fixtures for pytest, available in every project that has flyasync installed.

    async def test_my_backend_creates_one_machine_per_user(fly, fly_emulator):
        await fly.apps.create("users", org_slug="personal")
        ...
        assert fly_emulator.counts()["createMachine", "users"] == 1

    @pytest.mark.fly_emulator(seed=7, capacity={"iad": 0}, faults=[Fault(does="crash", region="lhr")])
    async def test_my_backend_on_a_bad_day(fly): ...

    def test_my_backend_through_its_http_api(fly_environment):  # FastAPI's TestClient, Flask, Django
        ...

`fly_emulator` is an `Emulator` that starts and ends with the test; the marker's arguments are the emulator's. `fly` is
a `FlyClient` bound to it. `fly_environment` sets the environment variables that point any other client to it.

An async test has the emulator on its own event loop, so a virtual loop covers it too, and code that blocks the loop
blocks the emulator. The test needs one of these:

- pytest-asyncio 1.0 or later, in auto mode, or in strict mode with `@pytest.mark.asyncio`, with any `loop_scope`;
- anyio's plugin, with `@pytest.mark.anyio` and the backend asyncio, and pytest-asyncio, if installed, in strict mode.
  `fly` cannot be used on trio; there the other fixtures work as in a synchronous test.

    @pytest.mark.fly_emulator(thread=True)
    async def test_my_backend_that_blocks(fly_environment): ...

With `thread=True` the emulator has a thread and an event loop of its own in an async test too, so that code which
blocks the loop of the test, such as `subprocess.run`, gets its responses. It uses real time: it does not suit a virtual
loop.

A synchronous test has the emulator in a thread (see `flyasync.testing.EmulatorThread`), in real time, and needs neither
plugin. Its `fly` is for the async fixtures that prepare the test.
"""

import asyncio
import inspect
from collections.abc import AsyncIterator, Callable, Iterator
from functools import partial
from typing import Any

import pytest

import flyasync  # its names load on first use, so that a test run without these fixtures does not pay for them


def pytest_configure(config: pytest.Config) -> None:
    """Register the marker."""
    config.addinivalue_line(
        "markers",
        "fly_emulator(thread=False, **options): options of the Emulator of the fixture fly_emulator; with thread=True, "
        "it has a thread in an async test too",
    )


@pytest.fixture
def fly_emulator(request: pytest.FixtureRequest) -> "Iterator[flyasync.Emulator]":
    """Yield an emulator for this test only, with the arguments of the marker `fly_emulator`.

    It runs on the event loop of an async test, unless the marker has `thread=True`, and in a thread of its own for a
    synchronous test.
    """
    loop = None if _options(request).get("thread") else _loop_of(request)
    if loop is not None:
        yield request.getfixturevalue(f"_fly_emulator_{loop}")
        return
    from flyasync.testing.emulator_thread import EmulatorThread

    with EmulatorThread(_make_emulator(request)) as emulator:
        yield emulator


@pytest.fixture
def fly(request: pytest.FixtureRequest, fly_emulator: "flyasync.Emulator") -> "flyasync.FlyClient":  # noqa: ARG001
    """Return a client bound to the emulator, on the event loop of the test; it is closed after the test."""
    loop = _loop_of(request)
    if loop is None and "anyio_backend" in request.fixturenames:
        if _anyio_backend(request) != "asyncio":
            pytest.fail(
                "fly is a client for asyncio, but this test runs on another backend of anyio; "
                "override the fixture anyio_backend to return 'asyncio'",
                pytrace=False,
            )
        loop = "anyio"
    elif loop is None and not _runs_pytest_asyncio(request.config):
        pytest.fail(
            "the fixture fly needs an async test, and the plugin pytest-asyncio or anyio to run it", pytrace=False
        )
    client: flyasync.FlyClient = request.getfixturevalue(f"_fly_{loop or 'function'}")
    return client


@pytest.fixture
def fly_environment(fly_emulator: "flyasync.Emulator", monkeypatch: pytest.MonkeyPatch) -> dict[str, str]:
    """Set the environment variables that point any client to the emulator, and return them.

    Code that blocks, such as `urllib` or `subprocess.run`, belongs in a synchronous test. In an async test the emulator
    runs on the event loop of the test and cannot respond while that is blocked: use `asyncio.create_subprocess_exec`,
    or the marker `fly_emulator(thread=True)`.
    """
    environment = fly_emulator.environment()
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    return environment


def _make_emulator(request: pytest.FixtureRequest) -> "flyasync.Emulator":
    options = _options(request)
    options.pop("thread", None)
    return flyasync.Emulator(**options)


def _options(request: pytest.FixtureRequest) -> dict[str, Any]:
    marker = request.node.get_closest_marker("fly_emulator")
    return dict(marker.kwargs) if marker else {}


def _loop_of(request: pytest.FixtureRequest) -> str | None:
    """Return which loop runs the test: a loop scope of pytest-asyncio, or "anyio"; None for a synchronous test."""
    # 1. A test that pytest-asyncio runs.
    if _runs_pytest_asyncio(request.config):
        import pytest_asyncio

        if pytest_asyncio.is_async_test(request.node):
            marker = request.node.get_closest_marker("asyncio")
            scope: str | None = marker.kwargs.get("loop_scope") if marker else None
            return scope or str(request.config.getini("asyncio_default_test_loop_scope"))
    # 2. An async test that anyio runs. On trio the emulator needs a thread: it is written for asyncio.
    function = request.function
    inner = function.hypothesis.inner_test if hasattr(function, "hypothesis") else function
    if inspect.iscoroutinefunction(inner) and "anyio_backend" in request.fixturenames:
        return "anyio" if _anyio_backend(request) == "asyncio" else None
    # 3. A synchronous test, or one that no plugin runs.
    return None


def _runs_pytest_asyncio(config: pytest.Config) -> bool:
    # Its plugin has one name as an entry point, another after `pytest -p`, and can be turned off: its option shows it.
    return bool(config.getoption("asyncio_mode", "not loaded") != "not loaded")


def _anyio_backend(request: pytest.FixtureRequest) -> str:
    backend = request.getfixturevalue("anyio_backend")
    return str(backend if isinstance(backend, str) else backend[0])


def _fixtures_on(loop: str, fixture: Callable[..., Callable[[Callable[..., Any]], Any]]) -> dict[str, Any]:
    """Return the async fixtures that `fly_emulator` and `fly` choose from, for one loop."""

    @fixture(name=f"_fly_emulator_{loop}")
    async def emulator(request: pytest.FixtureRequest) -> "AsyncIterator[flyasync.Emulator]":
        async with _make_emulator(request) as emulator:
            yield emulator

    @fixture(name=f"_fly_{loop}")
    async def client(
        request: pytest.FixtureRequest, fly_emulator: "flyasync.Emulator"
    ) -> "AsyncIterator[flyasync.FlyClient]":
        from flyasync.testing.virtual_time import VirtualTimeLoop

        if _options(request).get("thread") and isinstance(asyncio.get_running_loop(), VirtualTimeLoop):
            pytest.fail(
                "fly is on a virtual loop, whose clock does not wait for the thread of the emulator; "
                "remove thread=True from the marker fly_emulator, or run this test on another loop",
                pytrace=False,
            )
        async with flyasync.FlyClient(fly_emulator.token, base_url=fly_emulator.url, limits="memory") as client:
            yield client

    return {f"_fly_emulator_{loop}": emulator, f"_fly_{loop}": client}


globals().update(_fixtures_on("anyio", pytest.fixture))
try:
    import pytest_asyncio
except ImportError:
    pass
else:
    for _scope in ("function", "class", "module", "package", "session"):
        globals().update(_fixtures_on(_scope, partial(pytest_asyncio.fixture, loop_scope=_scope)))
