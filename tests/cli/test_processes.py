"""What only a process of its own can show: signals from outside, and exit codes."""

import json
import signal
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager, suppress

import pytest


@contextmanager
def process(*args: str) -> Iterator[subprocess.Popen[str]]:
    command = [sys.executable, "-m", "flyasync", *args]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as running:
        try:
            yield running
        finally:
            running.kill()


def line(running: subprocess.Popen[str], *words: str) -> str:
    assert running.stdout
    return next(line for line in running.stdout if all(word in line for word in words))


def test_ctrl_c_tells_what_runs_and_exits_with_130() -> None:
    with process(
        "deploy", "web", "--image", "nginx", "--region", "iad", "--local", "--boot", "600", "--json"
    ) as deploy:
        machine_id = json.loads(line(deploy, '"starting"'))["machine_id"]
        deploy.send_signal(signal.SIGINT)
        out, err = deploy.communicate(timeout=10)
    report = json.loads(out.splitlines()[-1])["report"]
    assert deploy.returncode == 130
    assert report["cancelled"]
    assert report["regions"][0]["machines"][0]["id"] == machine_id
    assert err.startswith("flyasync: stopping: ")


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_the_emulator_serves_until_it_is_told_to_end(number: int) -> None:
    with process("emulator", "--port", "0") as emulator:
        url = line(emulator, "export FLY_FLAPS_BASE_URL=").strip().partition("=")[2]
        token = line(emulator, "export FLY_API_TOKEN=").strip().partition("=")[2]
        request = urllib.request.Request(f"{url}/v1/platform/regions", headers={"Authorization": f"Bearer {token}"})
        with urllib.request.urlopen(request, timeout=10) as reply:
            assert reply.status == 200
        emulator.send_signal(number)
        _, err = emulator.communicate(timeout=10)
    assert emulator.returncode == 0
    assert err.startswith("flyasync: the emulator runs; Ctrl-C ends it\n")


def test_any_number_of_ctrl_c_exits_with_130() -> None:
    with process(
        "deploy", "web", "--image", "nginx", "--region", "iad", "--local", "--boot", "600", "--json"
    ) as deploy:
        line(deploy, '"starting"')
        for _ in range(200):
            deploy.send_signal(signal.SIGINT)
            with suppress(subprocess.TimeoutExpired):
                deploy.wait(timeout=0.005)
                break
        deploy.communicate(timeout=10)
    assert deploy.returncode == 130


def test_a_closed_terminal_ends_a_deploy_with_129() -> None:
    with process("deploy", "web", "--image", "nginx", "--region", "iad", "--local", "--boot", "600") as deploy:
        line(deploy, "starting")
        assert deploy.stdout
        assert deploy.stderr
        deploy.stdout.close()
        deploy.stderr.close()
        deploy.send_signal(signal.SIGHUP)
        assert deploy.wait(timeout=10) == 129
