"""The fixtures with each supported setup of pytest, in a separate process."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

SYNCHRONOUS = """
import json, os, urllib.request
import pytest
from flyasync import Fault
from flyasync.testing import trouble

def ask(path):
    request = urllib.request.Request(os.environ["FLY_FLAPS_BASE_URL"] + path, headers={"Authorization": "Bearer x"})
    with urllib.request.urlopen(request, timeout=30) as reply:
        return json.load(reply)

def test_blocking(fly_environment, fly_emulator):
    assert ask("/v1/apps?org_slug=personal")["apps"] == []
    assert fly_emulator.counts()["listApps", "personal"] == 1
    with trouble(fly_emulator, Fault(does="refuse", status=500)), pytest.raises(urllib.error.HTTPError, match="500"):
        ask("/v1/apps?org_slug=personal")

@pytest.mark.fly_emulator(capacity={"iad": 0})
def test_blocking_with_options(fly_emulator):
    assert fly_emulator.world.capacity == {"iad": 0}
"""

ASYNC = """
import asyncio
from flyasync import FlyClient

@MARK
async def test_async(fly, fly_emulator, fly_environment):
    await fly.apps.create("users", org_slug="personal")
    async with FlyClient() as other:
        assert [app.name for app in await other.apps.list("personal")] == ["users"]
    assert fly_emulator.counts()["createApp", "personal"] == 1
    assert fly_emulator._loop is asyncio.get_running_loop()
"""

PREPARED = """
@FIXTURE
async def users(fly):
    await fly.apps.create("users", org_slug="personal")

def test_blocking_after_async_preparation(users, fly_environmentBACKEND):
    assert [app["name"] for app in ask("/v1/apps?org_slug=personal")["apps"]] == ["users"]
"""

ON_TRIO = """
import pytest

@pytest.fixture
def anyio_backend():
    return ("trio", {})

@pytest.mark.anyio
async def test_trio(fly): ...
"""

MODE = ("-o", "asyncio_default_fixture_loop_scope=function")


def prepared(fixture: str, backend: str = "") -> str:
    return PREPARED.replace("FIXTURE", fixture).replace("BACKEND", backend)


def run_pytest(folder: Path, text: str, *options: str, without: str = "") -> str:
    """Run the tests of one file in another process, without some of the installed plugins."""
    (folder / "pytest.ini").write_text("[pytest]\nfilterwarnings = error\n")
    (folder / "test_it.py").write_text(text)
    unloaded = [f"-pno:{plugin}" for plugin in ("xdist", "cov", "hypothesispytest", "cacheprovider", *without.split())]
    # Options for this run, such as --cov, are not for that one.
    environment = {name: value for name, value in os.environ.items() if name != "PYTEST_ADDOPTS"}
    run = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", *unloaded, *options],
        env=environment,
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    return run.stdout + run.stderr


def test_synchronous_tests_need_no_other_plugin(tmp_path: Path) -> None:
    assert "2 passed" in run_pytest(tmp_path, SYNCHRONOUS, without="asyncio anyio")


def test_a_synchronous_test_without_a_plugin_learns_what_fly_needs(tmp_path: Path) -> None:
    output = run_pytest(tmp_path, "def test_it(fly): ...", without="asyncio anyio")
    assert "the fixture fly needs an async test, and the plugin pytest-asyncio or anyio to run it" in output
    assert "1 error" in output


@pytest.mark.parametrize(
    ("mode", "mark"),
    [
        ("auto", "_"),
        ("strict", "pytest.mark.asyncio"),
        ("strict", "pytest.mark.asyncio(loop_scope='session')"),
        ("auto", "pytest.mark.asyncio(loop_scope='module')"),
    ],
)
def test_synchronous_and_async_tests_share_a_file_under_pytest_asyncio(tmp_path: Path, mode: str, mark: str) -> None:
    text = SYNCHRONOUS + "import pytest_asyncio\n_ = lambda test: test\n" + ASYNC.replace("MARK", mark)
    text += prepared("pytest_asyncio.fixture")
    assert "4 passed" in run_pytest(tmp_path, text, *MODE, "-o", f"asyncio_mode={mode}")


def test_the_default_loop_scope_of_tests_is_followed(tmp_path: Path) -> None:
    options = (*MODE, "-o", "asyncio_mode=auto", "-o", "asyncio_default_test_loop_scope=session")
    assert "1 passed" in run_pytest(tmp_path, ASYNC.replace("@MARK", ""), *options)


@pytest.mark.parametrize("options", [("-pno:asyncio",), MODE])
def test_they_share_a_file_under_anyio_too(tmp_path: Path, options: tuple[str, ...]) -> None:
    text = SYNCHRONOUS + ASYNC.replace("MARK", "pytest.mark.anyio")
    text += prepared("pytest.fixture", ", anyio_backend")
    text += "@pytest.fixture\ndef anyio_backend():\n    return 'asyncio'\n"
    assert "4 passed" in run_pytest(tmp_path, text, *options)


def test_on_trio_the_client_is_refused_with_the_reason(tmp_path: Path) -> None:
    output = run_pytest(tmp_path, ON_TRIO, *MODE)
    assert "override the fixture anyio_backend to return 'asyncio'" in output
    assert "1 error" in output
