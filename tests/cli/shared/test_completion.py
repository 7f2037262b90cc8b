from collections.abc import Iterator

import click
import pytest
from click.shell_completion import ShellComplete

from flyasync.cli.main import SUMMARIES, command
from flyasync.cli.shared.completion import machines
from flyasync.emulator import Fault
from flyasync.testing import run_virtual
from tests.cli.driver import Shop, flyasync


def offers(*args: str, incomplete: str = "", shop: Shop | None = None) -> list[str]:
    drive = shop.drive if shop else run_virtual
    complete = ShellComplete(command, {"obj": drive}, "flyasync", "_FLYASYNC_COMPLETE")
    return [item.value for item in complete.get_completions(list(args), incomplete)]


def commands(each: click.Command, path: str = "flyasync") -> Iterator[tuple[str, click.Command]]:
    yield path, each
    if isinstance(each, click.Group):
        ctx = click.Context(each)
        for name in each.list_commands(ctx):
            inner = each.get_command(ctx, name)
            assert inner is not None
            yield from commands(inner, f"{path} {name}")


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_the_script_is_printed(shell: str) -> None:
    result = flyasync("completion", shell)
    assert result.exit_code == 0
    assert f"_FLYASYNC_COMPLETE={shell}_complete" in result.stdout


def test_another_shell_is_wrong() -> None:
    assert flyasync("completion", "tcsh").exit_code == 2


def test_commands_options_and_verbs_are_offered() -> None:
    assert offers() == list(SUMMARIES)
    assert offers(incomplete="ma") == ["machines"]
    assert "--version" in offers(incomplete="--")
    assert offers("machines", incomplete="sus") == ["suspend"]
    assert offers("machnes", "list") is not None


def test_apps_machines_volumes_and_regions_are_asked_of_the_api(shop: Shop) -> None:
    machine_id = shop.run("--name", "one")
    volume_id = shop.json("volumes", "create", "web", "data", "--region", "iad")["id"]
    assert offers("apps", "show", incomplete="w", shop=shop) == ["web"]
    assert offers("machines", "stop", "web", shop=shop) == ["one", machine_id]
    assert offers("machines", "metadata", "set", "web", incomplete="o", shop=shop) == ["one"]
    assert offers("volumes", "show", "web", shop=shop) == [volume_id]
    assert offers("orphans", incomplete="p", shop=shop) == ["personal"]
    assert offers("machines", "run", "web", "nginx", "--region", incomplete="ia", shop=shop) == ["iad"]


def test_every_command_that_takes_a_machine_completes_it() -> None:
    taking = [
        (path, param)
        for path, each in commands(command)
        for param in each.params
        if (param.metavar or "").startswith("MACHINE")
    ]
    assert len(taking) > 20
    assert [path for path, param in taking if param._custom_shell_complete is not machines] == []


def test_the_value_of_an_option_is_completed_too(shop: Shop) -> None:
    machine_id = shop.run("--name", "one", "--metadata", "fly_process_group=worker")
    assert offers("logs", "web", "--machine", shop=shop) == ["one", machine_id]
    assert offers("logs", "web", "-f", "--group", incomplete="w", shop=shop) == ["worker"]
    for words in (("scale", "web", "--group"), ("deploy", "web", "--group"), ("deploy", "web", "--retire-group")):
        assert offers(*words, incomplete="w", shop=shop) == ["worker"]


def test_without_an_answer_nothing_is_offered_and_nothing_said(shop: Shop, capsys: pytest.CaptureFixture[str]) -> None:
    shop.emulator.faults.add(Fault(does="delay", seconds=60.0))
    assert offers("apps", "show", shop=shop) == []
    assert capsys.readouterr() == ("", "")


def test_without_a_token_nothing_is_offered() -> None:
    assert offers("apps", "show") == []
