import subprocess
import sys
from collections.abc import Iterator
from types import SimpleNamespace

import click
import pytest

from flyasync.__main__ import main
from flyasync.cli.main import SUMMARIES, Commands, command as main_command
from tests.cli.driver import flyasync

HEAVY = ("aiohttp", "cattrs", "rich", "importlib.metadata", "orjson", "flyasync.api", "flyasync.cli.deploy.command")


def test_help_lists_the_commands_and_loads_nothing_heavy() -> None:
    program = (
        "import sys, flyasync.__main__\n"
        "sys.argv = ['flyasync', '--help']\n"
        "try: flyasync.__main__.main()\n"
        "finally: print('loaded:', *sys.modules, file=sys.stderr)\n"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True, timeout=30)
    loaded = done.stderr.split()
    assert "flyasync.cli.main" in loaded
    assert not set(HEAVY) & set(loaded)
    assert all(name in done.stdout for name in SUMMARIES)
    assert "--local" in done.stdout


LIGHT = """
    deploy, apply, replay, bulk, apps list, machines, machines run, machines modify, machines exec, machines lease show,
    machines metadata set, pool reconcile, volumes create, secrets set, secrets deploy, certificates add, ips allocate,
    regions, tokens current, completion, emulator, scale, destroy, status, watch, logs, releases, diff, orphans, lint
"""


def test_the_help_of_all_commands_loads_neither_the_client_nor_a_model() -> None:
    program = (
        "import sys, flyasync.__main__\n"
        f"for words in {LIGHT.split(',')!r}:\n"
        "    sys.argv = ['flyasync', *words.split(), '--help']\n"
        "    try: flyasync.__main__.main()\n"
        "    except SystemExit: pass\n"
        "print('loaded:', *sys.modules, file=sys.stderr)\n"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True, timeout=30)
    assert done.stdout.count("Usage: flyasync") == len(LIGHT.split(","))
    loaded = set(done.stderr.split())
    assert {"flyasync.cli.bulk.command", "flyasync.cli.machines.edit", "flyasync.cli.pool"} < loaded
    heavy = {"aiohttp", "asyncio", "attr", "attrs", "cattrs", "logging", "orjson", "rich"}
    heavy |= {"flyasync.api", "flyasync.models", "flyasync.emulator"}
    assert not heavy & loaded


def test_help_shows_what_each_command_is_for() -> None:
    said = " ".join(flyasync("--help").stdout.split())
    assert all(f"{name} {summary}" in said for name, summary in SUMMARIES.items())


def test_the_version_is_told() -> None:
    assert flyasync("--version").stdout.startswith("flyasync 0.")


@pytest.mark.parametrize("name", SUMMARIES)
def test_each_command_is_there_and_begins_its_help_with_its_name(name: str) -> None:
    result = flyasync(name, "--help")
    assert result.exit_code == 0
    assert result.stdout.startswith(f"Usage: flyasync {name} ")


def leaves(group: click.Group, *path: str) -> Iterator[tuple[str, click.Command]]:
    with click.Context(group) as ctx:
        for name in group.list_commands(ctx):
            found = group.get_command(ctx, name)
            assert found is not None
            if isinstance(found, click.Group):
                yield from leaves(found, *path, name)
            else:
                yield " ".join([*path, name]), found


@pytest.mark.parametrize(("name", "found"), dict(leaves(main_command)).items(), ids=str)
def test_each_command_can_answer_in_json_and_says_in_one_line_what_it_is_for(name: str, found: click.Command) -> None:
    options = {option for parameter in found.params for option in parameter.opts}
    assert "--json" in options or name in {"emulator", "completion", "watch"}
    assert "..." not in found.get_short_help_str(60) or name in SUMMARIES


@pytest.mark.parametrize(
    ("args", "says"),
    [(["deplo"], "Did you mean 'deploy'?"), (["dance"], "No such command 'dance'"), (["--loud"], "No such option")],
)
def test_a_wrong_command_exits_with_2(args: list[str], says: str) -> None:
    result = flyasync(*args)
    assert result.exit_code == 2
    assert says in result.stderr


def test_ctrl_c_before_the_loop_runs_exits_with_130() -> None:
    group = Commands("flyasync", callback=_interrupted, invoke_without_command=True)
    with pytest.raises(SystemExit) as stop:
        group.main([])
    assert stop.value.code == 130


def _interrupted(**_: object) -> None:
    raise KeyboardInterrupt


@pytest.mark.parametrize("package", ["click", "rich"])
def test_without_its_packages_it_says_how_to_get_them(
    package: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(SystemExit) as stop:
        main()
    assert stop.value.code == 2
    assert capsys.readouterr().err.endswith("pip install 'flyasync[cli]'\n")


def test_ctrl_c_while_the_commands_are_loaded_exits_with_130(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "argv", ["flyasync", "--version"])
    monkeypatch.setitem(sys.modules, "flyasync.cli.main", SimpleNamespace(command=_interrupted))
    with pytest.raises(SystemExit) as stop:
        main()
    assert stop.value.code == 130


def test_ctrl_c_while_the_command_line_is_read_exits_with_130() -> None:
    with pytest.raises(SystemExit) as stop:
        Commands("flyasync", params=[click.Option(["--now"], is_eager=True, callback=_interrupted_by)]).main(
            ["--now", "x"]
        )
    assert stop.value.code == 130


def _interrupted_by(*_: object) -> None:
    raise KeyboardInterrupt


def test_main_runs_the_command_line(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr(sys, "argv", ["flyasync", "--version"])
    with pytest.raises(SystemExit) as stop:
        main()
    assert stop.value.code == 0
    assert capsys.readouterr().out.startswith("flyasync ")
