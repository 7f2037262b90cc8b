"""The emulator in a thread, used by blocking code."""

import json
import urllib.request
from threading import get_ident

import pytest

from flyasync import Emulator
from flyasync.emulator.core.records import MachineRecord
from flyasync.testing import EmulatorThread


def post(emulator: Emulator, path: str, body: dict[str, object]) -> dict[str, object]:
    request = urllib.request.Request(
        emulator.url + path, json.dumps(body).encode(), {"Authorization": f"Bearer {emulator.token}"}
    )
    with urllib.request.urlopen(request, timeout=30) as reply:
        found: dict[str, object] = json.load(reply)
        return found


def test_blocking_code_can_use_it_and_its_methods() -> None:
    threads: list[int] = []

    def observe(_: MachineRecord) -> None:
        threads.append(get_ident())

    with EmulatorThread(Emulator(boot=(0.0, 0.0))) as emulator:
        emulator.on_change(observe)
        post(emulator, "/v1/apps", {"app_name": "web", "org_slug": "personal"})
        machine = post(emulator, "/v1/apps/web/machines", {"region": "iad", "config": {"image": "nginx"}})
        emulator.set_host_status(str(machine["id"]), "unreachable")
        assert emulator.serving("web").total() == 0
        with pytest.raises(ValueError, match="there is no machine 'none'"):
            emulator.set_host_status("none", "ok")
    assert set(threads) - {get_ident()}
    assert get_ident() not in threads
    assert emulator.counts()["createMachine", "web"] == 1


def test_it_can_be_started_again_but_not_twice() -> None:
    thread = EmulatorThread(Emulator())
    for _ in range(2):
        thread.start()
        with pytest.raises(RuntimeError, match="already running"):
            thread.start()
        assert thread.emulator.url.startswith("http://127.0.0.1:")
        thread.stop()
    thread.stop()
    with pytest.raises(RuntimeError, match="not running"):
        _ = thread.emulator.url


def test_a_port_in_use_is_raised_in_the_caller() -> None:
    with EmulatorThread() as emulator:
        thread = EmulatorThread(Emulator(port=int(emulator.url.rsplit(":", 1)[1])))
        with pytest.raises(OSError, match="address"):
            thread.start()
        thread.stop()
