"""The examples in the help of each command work in order, and leave one machine for each one asked for."""

import asyncio
import re
import shlex
from collections import Counter
from collections.abc import Callable, Coroutine, Iterator
from contextlib import suppress
from functools import partial
from io import BytesIO
from pathlib import Path
from typing import IO, Any

import click
import pytest

from flyasync.cli.main import command
from flyasync.models.machine import GONE
from tests.cli.driver import Keyboard, Shop, flyasync, make
from tests.cli.oncall.driver import until_interrupted

# What is there before the first example of a command.
DEPLOYED = ("deploy", "web", "--image", "nginx", "--region", "iad", "--no-config")
BEFORE = {
    "flyasync secrets": DEPLOYED,
    "flyasync secrets deploy": DEPLOYED,
    "flyasync scale": ("deploy", "web", "--image", "nginx", "--region", "iad,lhr", "--no-config"),
    "flyasync status": DEPLOYED,
    "flyasync watch": DEPLOYED,
    "flyasync logs": DEPLOYED,
    "flyasync releases": DEPLOYED,
    "flyasync diff": DEPLOYED,
    "flyasync orphans": DEPLOYED,
    "flyasync lint": ("machines", "run", "web", "nginx", "--region", "iad", "--name", "one"),
}
# How many machines are left after the last example, by region.
AFTER = {
    "flyasync": {"iad": 1, "lhr": 1, "nrt": 1},
    "flyasync deploy": {"iad": 2, "lhr": 1, "nrt": 1},
    "flyasync apply": {"iad": 1, "lhr": 1},
    "flyasync replay": {},
    "flyasync bulk": {"iad": 1, "lhr": 1, "nrt": 1},
    "flyasync scale": {"iad": 2},
    "flyasync destroy": {},
    "flyasync status": {"iad": 1},
    "flyasync watch": {"iad": 1},
    "flyasync logs": {"iad": 1},
    "flyasync releases": {"iad": 1},
    "flyasync diff": {"iad": 1},
    "flyasync orphans": {"iad": 1},
    "flyasync machines": {"iad": 2},
    "flyasync pool": {},
    "flyasync secrets": {"iad": 1},
    "flyasync secrets deploy": {"iad": 1},
    "flyasync lint": {"iad": 1},
    "flyasync emulator": {"iad": 1, "lhr": 1},
}
# The commands whose examples run in a folder with a fly.toml.
IN_FOLDER = {"flyasync lint", "flyasync diff"}
# The options and commands that run until Ctrl-C.
ENDLESS = {"--watch", "-f", "watch"}
SECRET = b"postgres://web\n"


def commands(each: click.Command, path: str = "flyasync") -> Iterator[tuple[str, click.Command]]:
    """Yield every command with its whole name."""
    yield path, each
    if isinstance(each, click.Group):
        ctx = click.Context(each)
        for name in each.list_commands(ctx):
            inner = each.get_command(ctx, name)
            assert inner is not None
            yield from commands(inner, f"{path} {name}")


def examples(each: click.Command) -> list[str]:
    """Return the command lines in the help of a command."""
    text = (each.epilog or "").replace("\\\n", " ")
    lines = (line.strip() for line in text.splitlines() if line.startswith("  ") and "#" not in line)
    return [line for line in lines if re.match(r"(.*\| *)?flyasync ", line)]


HELP = {name: each for name, each in commands(command) if examples(each)}


@pytest.fixture
def street(shop: Shop, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Shop:
    """Return an account with the apps that the examples name, in a directory with their files."""
    monkeypatch.chdir(tmp_path)
    for app in ("shop-1", "shop-2"):
        shop.drive(make(app))
    (tmp_path / "web").mkdir()
    (tmp_path / "web/fly.toml").write_text('app = "web"\nprimary_region = "iad"\n[build]\nimage = "nginx"\n')
    (tmp_path / ".env").write_text("DATABASE_URL=postgres://web\n")
    rows = (HELP["flyasync bulk"].epilog or "").partition("row for each app\n")[2].partition("\b")[0]
    (tmp_path / "customers.csv").write_text("".join(f"{row.strip()}\n" for row in rows.splitlines()))
    return shop


def words(line: str) -> list[str]:
    """Return the arguments of a line, with what only another machine could serve replaced."""
    # No Dask cluster is here, neither flyctl nor npm, and another process may use the emulator's port.
    line = re.sub(r" --executor \S+", "", line)
    line = re.sub(r"^(flyasync emulator .*)-- .*", r"\1-- true", line)
    line = re.sub(r"^flyasync emulator", "flyasync emulator --port 0", line)
    line = re.sub(r"--port 8000", "--port 0", line)
    assert line.startswith("flyasync ")
    return shlex.split(line)[1:]


def run(shop: Shop, line: str) -> None:
    """Run a line as a shell would; at a terminal, where a question is answered with yes."""
    # An emulator that copies an app reads it from the shop, on its loop.
    emulator = partial(for_a_second, shop.drive if "--import" in line else asyncio.run)
    drive = emulator if line.startswith("flyasync emulator") else shop.drive
    output = ""
    given: IO[bytes] = Keyboard(b"y\n" if "destroy" in line else SECRET)
    for part in (part.strip() for part in line.split(" | ")):
        if part == "cut -f1":
            output = "".join(f"{row.partition(chr(9))[0]}\n" for row in output.splitlines())
        elif part.startswith("pass show"):
            output, given = "", BytesIO(SECRET)
        else:
            more = output.split() if part.startswith("xargs ") else []
            given = BytesIO(output.encode()) if output and not more else given
            line_words = words(part.removeprefix("xargs "))
            if ENDLESS & set(line_words):
                result, codes = until_interrupted(shop, *line_words, seconds=10), {130}
            else:
                result = flyasync(*line_words, *more, drive=drive, answer=given)
                # 10: there is a difference; 9: the deploy has paused.
                codes = {0, 10} if line_words[0] == "diff" else {9} if "--pause-after" in line_words else {0}
            assert result.exit_code in codes, (line, result.output)
            output = result.stdout
    shop.drive(asyncio.sleep(15))  # a person reads what was printed


def for_a_second(drive: Callable[[Coroutine[Any, Any, Any]], Any], work: Coroutine[Any, Any, Any]) -> None:
    """Run what serves until Ctrl-C."""

    async def main() -> None:
        serving = asyncio.ensure_future(work)
        await asyncio.wait([serving], timeout=1)
        serving.cancel()
        with suppress(asyncio.CancelledError):
            await serving

    drive(main())


def live(shop: Shop) -> Counter[str]:
    return Counter(each.region for each in shop.emulator.world.machines.values() if each.state not in GONE)


def test_every_command_with_examples_is_covered() -> None:
    assert HELP.keys() == AFTER.keys()


@pytest.mark.parametrize("name", AFTER)
def test_the_examples_run_in_order_and_leave_no_machine_twice(
    street: Shop, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    if name in IN_FOLDER:
        monkeypatch.chdir("web")
    if name in BEFORE:
        street.said(*BEFORE[name])
    for line in examples(HELP[name]):
        run(street, line)
    assert live(street) == AFTER[name]


def test_an_example_that_leaves_a_machine_twice_is_noticed(street: Shop) -> None:
    run(street, "flyasync deploy web --image nginx --region iad --add")
    run(street, "flyasync deploy web --image nginx --region iad")
    assert live(street) == {"iad": 2}
