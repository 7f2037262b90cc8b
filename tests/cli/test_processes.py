"""What only a process of its own can show: signals from outside, and exit codes."""

import json
import os
import pty
import re
import select
import signal
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest

from flyasync.testing import EmulatorThread

CONTENT = ("--image", "nginx", "--region", "iad")
# A smoke check would take ten seconds of real time.
DEPLOY = ("deploy", "web", *CONTENT, "--local", "--boot", "0.1", "--smoke-check", "0")


def in_a_shell(line: str, *args: str) -> subprocess.CompletedProcess[str]:
    """Run a shell's line in which `"$@"` is the command."""
    command = ["sh", "-c", line, "sh", sys.executable, "-m", "flyasync", *args]
    return subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)


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
    assert err.startswith("flyasync: the emulator is running; Ctrl-C stops it\n")


def test_a_command_of_the_emulator_reads_from_the_terminal_and_gets_its_ctrl_c() -> None:
    # A terminal lets only its foreground group read, and sends Ctrl-C to all of it: to the command just once.
    script = "read name; trap 'echo interrupted; exit 5' INT; echo hello $name; read more"
    terminal, other = pty.openpty()
    # A process that leads a session and opens a terminal is in its foreground.
    line = f'exec <>{os.ttyname(other)} >&0 2>&0; exec "$@"'
    command = ["sh", "-c", line, "sh", sys.executable, "-m", "flyasync", "emulator", "--", "sh", "-c", script]
    with subprocess.Popen(command, start_new_session=True) as running:
        try:
            os.write(terminal, b"web\n")
            shown = read_until(terminal, b"hello web\r\n")
            os.write(terminal, b"\x03")
            shown += read_until(terminal, b"interrupted\r\n")
            assert running.wait(timeout=10) == 5
        finally:
            running.kill()
            os.close(other)
            os.close(terminal)
    assert shown == b"web\r\nhello web\r\n^Cinterrupted\r\n"


def read_until(terminal: int, end: bytes) -> bytes:
    shown = b""
    while not shown.endswith(end):
        assert select.select([terminal], [], [], 60)[0], shown
        shown += os.read(terminal, 1024)
    return shown


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


@pytest.mark.parametrize("closed", [">&-", "2>&-", "<&-", ">&- 2>&- <&-"])
def test_streams_that_are_closed_change_nothing_else(closed: str) -> None:
    ended = in_a_shell(f'exec "$@" {closed}', *DEPLOY)
    assert (ended.returncode, ended.stderr) == (0, "")
    assert ("1 of 1 machines" in ended.stdout) == (">" not in closed.replace("2>&-", ""))


def test_a_question_without_stdin_is_wrong_input() -> None:
    ended = in_a_shell('exec "$@" <&-', "secrets", "set", "web", "KEY")
    assert ended.returncode == 2
    assert ended.stderr.endswith("the value is empty, so nothing was set\n")


@pytest.mark.parametrize(
    "args", [(*DEPLOY, "--json"), DEPLOY, ("--help",), ("completion", "bash"), ("lint", "-", "--json")]
)
def test_output_to_a_full_disk_is_a_failure_in_one_line(args: tuple[str, ...]) -> None:
    ended = in_a_shell('echo "{}" | "$@" >/dev/full', *args)
    assert ended.returncode == 1
    assert re.fullmatch(r"flyasync: the output .*: No space left on device\n", ended.stderr)


def test_an_exit_code_gets_through_where_nothing_can_be_written() -> None:
    assert in_a_shell('"$@" >/dev/full 2>&1', "lint", str(Path(__file__))).returncode == 2
    assert in_a_shell('"$@" >/dev/full 2>&1', *DEPLOY).returncode == 1


@pytest.mark.parametrize("command", [DEPLOY, ("bulk", "-", *CONTENT)])
def test_a_journal_without_room_is_refused_before_anything_happens(tmp_path: Path, command: tuple[str, ...]) -> None:
    path = tmp_path / "journal"
    ended = in_a_shell('ulimit -f 0; echo "app\nweb" | FLY_API_TOKEN=x "$@"', *command, "--journal", str(path))
    assert ended.returncode == 2
    assert ended.stderr == f"flyasync: the journal {path} cannot be written: File too large\n"
    assert path.read_bytes() == b""


def test_a_journal_that_fills_the_disk_later_ends_in_one_line(tmp_path: Path) -> None:
    path = tmp_path / "journal"
    # Room for the plan, which the long value fills nearly, and for some of the lines on three machines.
    limit = (
        "import resource, flyasync.__main__ as it; resource.setrlimit(resource.RLIMIT_FSIZE, (4300,) * 2); it.main()"
    )
    options = ("--count", "3", "--metadata", f"note={'x' * 2000}", "--journal", str(path))
    ended = subprocess.run(
        [sys.executable, "-c", limit, *DEPLOY, *options], capture_output=True, text=True, check=False, timeout=60
    )
    assert ended.returncode == 0
    assert ended.stderr == f"flyasync: the journal {path} ends here and does not contain later steps: File too large\n"
    assert path.read_text().count('"what": ') > 1


@pytest.mark.parametrize("line", ['"$@" | head -1', '"$@" >/dev/full'])
def test_a_log_that_is_followed_ends_with_its_reader(line: str, monkeypatch: pytest.MonkeyPatch) -> None:
    with EmulatorThread() as emulator:
        for name, value in emulator.environment().items():
            monkeypatch.setenv(name, value)
        assert in_a_shell('"$@"', "apps", "create", "web", "--org", "personal").returncode == 0
        for _ in range(90):
            emulator.write_log("web", "x" * 2000)  # more than a pipe holds
        ended = in_a_shell(line, "logs", "web", "-f")
    assert ended.stdout.count("\n") == ("head" in line)
    assert ended.stderr.endswith("the output is not complete: No space left on device\n") == ("full" in line)
