"""What a command shows: whatever the API or an app says drives no terminal, and a pipe gets bytes unchanged."""

import errno
import operator
import re
import sys
from collections.abc import Callable
from io import BytesIO, StringIO, TextIOWrapper
from typing import Any, TextIO

import click
import pytest
from rich.text import Text

from flyasync.cli.deploy.live import Screen
from flyasync.cli.machines.inspect import ExecOutput
from flyasync.cli.shared.exit_codes import code_after_losses
from flyasync.cli.shared.output import Message, Table, note
from flyasync.cli.shared.streams import pass_on, sturdy, unfiltered
from flyasync.cli.shared.tables import write_table
from flyasync.emulator import Fault
from flyasync.models.machine_results import ExecResult
from tests.cli.driver import Shop, Terminal

EVIL = "evil \x1b]0;title\x07\x1b[2J\x9b2J\x08\x7f\u202e\u2066 end\ud800 \u200eleft\u200f\tx"
SHOWN = "evil  end\\ud800 \u200eleft\u200f\tx"
UNWANTED = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069\ud800-\udfff]")


class Pipe(TextIOWrapper):
    """A stream that is no terminal."""

    def __init__(self) -> None:
        self.bytes = BytesIO()
        super().__init__(self.bytes, encoding="utf-8", errors="backslashreplace")

    def isatty(self) -> bool:
        return False


def test_a_stream_strips_what_drives_a_terminal() -> None:
    out = Terminal()
    sturdy(out).write(f"{EVIL}\n")
    assert out.getvalue() == f"{SHOWN}\n"


def test_what_paints_on_a_stream_paints_unfiltered() -> None:
    out = Terminal()
    unfiltered(sturdy(out)).write("\x1b[31m")
    assert out.getvalue() == "\x1b[31m"
    assert unfiltered(out) is out


def painted(out: Terminal) -> None:
    screen = Screen(sturdy(out))
    screen.note(EVIL)
    screen.console.print(Text(EVIL))


@pytest.mark.parametrize(
    "shows", [lambda out: write_table(sturdy(out), ["A", "B"], [["x", EVIL]]), painted], ids=["a table", "a screen"]
)
def test_a_terminal_is_driven_by_rich_alone(shows: Callable[[Terminal], None]) -> None:
    out = Terminal()
    shows(out)
    text = re.sub(r"\x1b\[[0-9;?]*[mhlAKG]", "", out.getvalue())
    assert "evil" in text
    assert "end\\ud800" in text
    assert not UNWANTED.search(text)
    assert "\x1b[2J" not in out.getvalue()


def test_a_remark_and_an_answer_are_readable(capsys: pytest.CaptureFixture[str]) -> None:
    note(EVIL)
    Message(EVIL, {}).write(sturdy(sys.stdout))
    written = capsys.readouterr()
    assert written.err == f"flyasync: {SHOWN}\n"
    assert written.out == f"{SHOWN}\n"


def test_a_cell_is_readable_in_a_pipe() -> None:
    out = Pipe()
    Table([{"name": EVIL}], {"NAME": operator.itemgetter("name")}).write(sturdy(out))
    out.flush()
    assert out.bytes.getvalue().decode() == "evil end\\ud800 \u200eleft\u200f x\n"


@pytest.mark.parametrize("name", ["stdout", "stderr"])
def test_what_a_command_in_a_machine_wrote_goes_unchanged_into_a_pipe(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    written = "\x1b[31mred\x1b[0m\r\n\x00\x07 é \u202e"
    pipe = Pipe()
    monkeypatch.setattr(sys, name, pipe)
    pipe.write("before ")
    said: dict[str, Any] = {name: written}
    ExecOutput(ExecResult(**said)).write(pipe)
    assert pipe.bytes.getvalue() == b"before " + written.encode()


def test_to_a_terminal_it_goes_readable(monkeypatch: pytest.MonkeyPatch) -> None:
    terminal = Terminal()
    monkeypatch.setattr(sys, "stdout", terminal)
    ExecOutput(ExecResult(stdout="\x1b[2Jred\r\n")).write(terminal)
    assert terminal.getvalue() == "red\n"


@pytest.mark.parametrize("options", [(), ("--json",), ("--strategy", "rolling"), ("--dry-run",)])
def test_a_refusal_drives_no_terminal(shop: Shop, options: tuple[str, ...]) -> None:
    for action in ("createMachine", "listMachines"):
        shop.emulator.faults.add(Fault(does="refuse", action=action, status=400, body={"error": EVIL[:40]}))
    result = shop.ask("deploy", "web", "--image", "nginx", "--region", "iad", *options)
    assert result.exit_code == 1
    assert "evil" in result.output
    assert not UNWANTED.search(result.output)


class FullDisk(StringIO):
    """A stream whose disk is full."""

    @property
    def buffer(self) -> Any:
        return self

    def write(self, _: object) -> int:
        raise OSError(errno.ENOSPC, "No space left on device")

    def flush(self) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")


@pytest.mark.parametrize(
    "write", [lambda out: sturdy(out).write("x"), lambda out: sturdy(out).flush(), lambda out: pass_on(out, "x")]
)
@pytest.mark.parametrize(("name", "code"), [("stdout", 1), ("stderr", 0)])
def test_only_a_result_that_is_lost_fails_the_command(
    write: Callable[[TextIO], object], name: str, code: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    stream = FullDisk()
    monkeypatch.setattr(sys, name, stream)
    with click.Context(click.Command("x")) as ctx:
        write(stream)
        monkeypatch.undo()
        assert code_after_losses(ctx, 0) == code


def test_a_writer_is_told_that_all_was_written() -> None:
    assert sturdy(FullDisk()).write("four") == 4
    assert sturdy(Terminal("ascii")).write("→") == 1


def test_a_stream_that_is_closed_is_flushed_without_an_error() -> None:
    out = Pipe()
    out.close()
    sturdy(out).flush()


def test_what_another_program_wrote_may_hold_what_is_no_text() -> None:
    out = Pipe()
    pass_on(out, "a\ud800b")
    assert out.bytes.getvalue() == b"a\xed\xa0\x80b"
    text = StringIO()
    pass_on(text, "\x1b[31mred")
    assert text.getvalue() == "\x1b[31mred"


def test_a_stream_that_is_sturdy_by_itself_is_not_wrapped_twice() -> None:
    out = Terminal()
    paints = unfiltered(sturdy(out))
    assert paints.stream is out  # type: ignore[attr-defined]
