"""How commands end: failures as lines and exit codes, and what a lost part of the output does to these."""

import errno
import json
from io import StringIO

import click
import pytest

from flyasync.cli.main import Commands
from flyasync.cli.shared.exit_codes import (
    CommandFailed,
    WrongInput,
    code_after_losses,
    failure,
    record_lost_output,
)
from flyasync.errors import ClientClosed, FlyError, InvalidInput, LeaseHeld, MissingToken

LOCKED = LeaseHeld("leases.acquire", "m1", "held by another client", status=409)


@pytest.mark.parametrize(
    ("error", "exit_code"),
    [(InvalidInput("a"), 2), (MissingToken("a"), 1), (ClientClosed("a"), 1), (FlyError("a\n  b"), 1), (LOCKED, 6)],
)
def test_an_error_becomes_one_line_and_an_exit_code(error: FlyError, exit_code: int) -> None:
    assert failure(error).exit_code == exit_code
    assert "\n" not in failure(error).format_message()


def test_a_failure_is_one_readable_line() -> None:
    out = StringIO()
    CommandFailed("the disk\n  is \x1b[31mfull\x1b[0m").show(out)
    assert out.getvalue() == "flyasync: the disk is full\n"
    assert CommandFailed("a\x1b]0;title\x07b\u202e").format_message() == "ab"


class Full(StringIO):
    def write(self, text: str) -> int:
        raise OSError(errno.ENOSPC, "No space left on device")


def test_a_failure_that_cannot_be_shown_still_ends_the_command() -> None:
    CommandFailed("no").show(Full())


@pytest.mark.parametrize(
    ("error", "kind", "code"), [(CommandFailed("no"), "Failure", 1), (WrongInput("no"), "WrongInput", 2)]
)
def test_a_failure_has_a_kind_of_its_own_in_json(
    error: CommandFailed, kind: str, code: int, capsys: pytest.CaptureFixture[str]
) -> None:
    def fail(**_: object) -> None:
        raise error

    group = Commands("flyasync", callback=fail, invoke_without_command=True, params=[click.Option(["--json"])])
    with pytest.raises(SystemExit) as stop:
        group.main(["--json", "x"])
    assert stop.value.code == code
    assert json.loads(capsys.readouterr().out) == {"event": "error", "kind": kind, "message": "no", "exit": code}


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EDQUOT, errno.EFBIG])
def test_output_that_is_lost_to_a_full_disk_fails_a_command_that_worked(
    number: int, capsys: pytest.CaptureFixture[str]
) -> None:
    with click.Context(click.Command("x")) as ctx:
        assert code_after_losses(ctx, 0) == 0
        record_lost_output(OSError(number, "first"))
        record_lost_output(OSError(number, "second"))
        assert code_after_losses(ctx, 0) == 1
        assert code_after_losses(ctx, 130) == 130
    assert capsys.readouterr().err == "flyasync: the output is not complete: first\n" * 2


def test_a_reader_that_is_gone_has_decided_so() -> None:
    with click.Context(click.Command("x")) as ctx:
        record_lost_output(OSError(errno.EPIPE, "Broken pipe"))
        record_lost_output(OSError(errno.EIO, "Input/output error"))
        assert code_after_losses(ctx, 0) == 0
    record_lost_output(OSError(errno.ENOSPC, "outside of any command"))
