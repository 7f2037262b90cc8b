"""At the command line, limits that are lost and refusals that clear are told, and the command goes on."""

from pathlib import Path

import pytest

from flyasync import Fault
from tests.cli.driver import flyasync, served

LIMITED = Fault(does="refuse", action="listMachines", status=429, headers={"Retry-After": "30"}, times=1)


def test_limits_that_cannot_be_asked_are_told_on_stderr_and_stop_nothing(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    with served(monkeypatch) as (_, drive):
        monkeypatch.setenv("FLYASYNC_LIMITS", f"file:{tmp_path}")
        quiet = flyasync("machines", "list", "web", drive=drive)
        assert quiet.exit_code == 0
        assert "limits" not in quiet.stderr
        (tmp_path / "in the way").write_text("")
        monkeypatch.setenv("FLYASYNC_LIMITS", f"file:{tmp_path / 'in the way' / 'limits'}")
        result = flyasync("machines", "list", "web", "--json", drive=drive)
        assert (result.exit_code, result.stdout) == (0, "[]\n")
        assert result.stderr.count("are unavailable") == 1
        assert f"flyasync: the limits shared by the files in {tmp_path}" in result.stderr


def test_a_pause_is_reported_on_stderr_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    with served(monkeypatch, faults=[LIMITED]) as (_, drive):
        result = flyasync("machines", "list", "web", "--json", drive=drive)
        assert (result.exit_code, result.stdout) == (0, "[]\n")
        assert result.stderr.endswith("flyasync: machines.list web is paused for 30.0 s: this client received a 429\n")


def test_a_refusal_that_clears_by_itself_is_reported_once(monkeypatch: pytest.MonkeyPatch) -> None:
    text = "failed_precondition: machine still active, refusing to start"
    active = Fault(does="refuse", action="startMachine", status=412, body={"error": text}, times=3)
    with served(monkeypatch, faults=[active]) as (emulator, drive):
        result = flyasync("machines", "run", "web", "nginx", "--region", "iad", drive=drive)
        assert result.exit_code == 0, result.stderr
        (machine_id,) = emulator.world.machines
        started = flyasync("machines", "start", "web", machine_id, drive=drive)
    assert started.exit_code == 0
    told = f"flyasync: machines.start web/{machine_id}: {text}; retrying for up to 30 s"
    assert started.stderr.splitlines().count(told) == 1
    assert started.stderr.count(text) == 1


def test_a_word_that_is_none_is_a_wrong_command_line(monkeypatch: pytest.MonkeyPatch) -> None:
    with served(monkeypatch) as (_, drive):
        monkeypatch.setenv("FLYASYNC_LIMITS", "redsi://:secret@cache")
        result = flyasync("machines", "list", "web", drive=drive)
        assert result.exit_code == 2
        assert "FLYASYNC_LIMITS is 'redsi://***@cache'" in result.stderr
