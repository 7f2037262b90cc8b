from io import BytesIO
from pathlib import Path

import click
import pytest

from flyasync.api.client import FlyClient
from flyasync.cli.shared.env_file import read
from flyasync.emulator import Fault
from tests.cli.driver import Keyboard, Shop, events

SET = ("secrets", "set", "web")


def values(shop: Shop) -> dict[str, str]:
    found: dict[str, str] = shop.drive(_values())
    return found


async def _values() -> dict[str | None, str | None]:
    async with FlyClient() as fly:
        return {secret.name: secret.value for secret in await fly.secrets.list("web", show_secrets=True)}


def names(shop: Shop) -> list[str]:
    return [secret["name"] for secret in shop.json("secrets", "list", "web")]


def test_a_value_is_read_from_standard_input(shop: Shop) -> None:
    result = shop.ask(*SET, "KEY", answer=BytesIO(b"hunter2\n"))
    assert result.exit_code == 0
    assert result.stdout.startswith("web: set KEY (version ")
    assert "hunter2" not in result.output
    assert names(shop) == ["KEY"]
    assert values(shop)["KEY"] == "hunter2"


def test_in_a_terminal_it_is_asked_for_and_not_shown(shop: Shop) -> None:
    result = shop.ask(*SET, "KEY", answer=Keyboard(b"hunter2\n"))
    assert result.exit_code == 0
    assert "Value of KEY" in result.stderr
    assert "hunter2" not in result.output
    assert values(shop)["KEY"] == "hunter2"


def test_ctrl_c_at_the_question_sets_nothing(shop: Shop) -> None:
    assert shop.ask(*SET, "KEY", answer=Keyboard(b"")).exit_code == 130
    assert names(shop) == []


@pytest.mark.parametrize("wrong", [["KEY=hunter2"], ["KEY", "hunter2"], [], ["--from-env-file", "-", "hunter2"]])
def test_a_value_in_the_arguments_is_refused_and_not_repeated(shop: Shop, wrong: list[str]) -> None:
    result = shop.ask(*SET, *wrong, answer=BytesIO(b"x"))
    assert result.exit_code == 2
    assert "hunter2" not in result.output
    assert names(shop) == []


@pytest.mark.parametrize("names", [["KEY"], ["--from-env-file", "-"]])
def test_what_is_not_text_is_refused(shop: Shop, names: list[str]) -> None:
    result = shop.ask(*SET, *names, answer=BytesIO(b"\xff\xfe=\xff"))
    assert result.exit_code == 2
    assert "the input is not text" in result.stderr


def test_an_empty_value_is_refused(shop: Shop) -> None:
    assert shop.ask(*SET, "KEY", answer=BytesIO(b"\n")).exit_code == 2


@pytest.mark.parametrize("way", ["file", "stdin"])
def test_many_come_from_an_env_file(shop: Shop, tmp_path: Path, way: str) -> None:
    text = b"# of the shop\nexport ONE=1\nTWO='a b'\n"
    file = tmp_path / ".env"
    file.write_bytes(text)
    told = shop.json(*SET, "--from-env-file", str(file) if way == "file" else "-", answer=BytesIO(text))
    assert [secret["name"] for secret in told["secrets"]] == ["ONE", "TWO"]
    assert values(shop) == {"ONE": "1", "TWO": "a b"}


def test_no_value_is_ever_listed(shop: Shop) -> None:
    shop.ask(*SET, "KEY", answer=BytesIO(b"hunter2"))
    assert "hunter2" not in shop.said("secrets", "list", "web") + shop.said("secrets", "list", "web", "--json")


def test_secrets_are_unset(shop: Shop) -> None:
    shop.ask(*SET, "KEY", answer=BytesIO(b"hunter2"))
    assert shop.said("secrets", "unset", "web", "KEY", "OTHER").startswith("web: unset KEY, OTHER (version ")
    assert names(shop) == []


@pytest.mark.parametrize(
    ("line", "value"),
    [
        ("A=1", "1"), ("A = 1 ", "1"), ("A=", ""), ("A=b=c", "b=c"), ("A='x\\n'", "x\\n"), ('A="x\\ny"', "x\ny"),
        ('A="say \\"hi\\""', 'say "hi"'), ("export A=#1", "#1"), ('A="""x"""', "x"), ("A='''x y'''", "x y"),
        ('A="""\none\n"two" \\n\n"""', 'one\n"two" \\n\n'), ("A=1 # one", "1"), ("A=1#2", "1#2"), ("A='1' # one", "1"),
        ('A="1"# one', "1"), ("A='1 # 2'", "1 # 2"), ("\ufeffA=1", "1"), ("A=1\r\n", "1"), ("A='1\r\n2'\r\n", "1\n2"),
        ('A="C:\\dir\\$x"', "C:\\dir$x"), ('A="1\\\n2"', "12"), ("A=it's", "it's"), ('A="1\n2"', "1\n2"),
        ("A=$B", "$B"), ("A=1\r# no\r", "1"),
        ("A=1\x0c2\u2028\x85", "1\x0c2\u2028\x85"), ("export\tA\t=\t1\t", "1"), ("A=''", ""), ('A=""', ""),
        ("A='é'\n\n  # no\n", "é"),
    ],
)  # fmt: skip
def test_how_a_line_is_read(line: str, value: str) -> None:
    assert read(line) == {"A": value}


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("A: hunter2", 1), ("A=1\n\nhunter2", 3), ("A=\"1\n2\"\nB='hunter2", 3), ('A="""hunter2', 1),
        ('A="hunter2"x', 1),
        ('A="""hunter2"""x', 1), ("A='it'hunter2'", 1), ("A='hunter2\nB='1'", 1), ("A= # hunter2", 1),
        ("A=`hunter2`", 1),
        ("A='hunter2\0'", 1), ("A=1\nA-B=hunter2", 2), ("A=1\nA=hunter2", 2), ("export A hunter2", 1),
    ],
)  # fmt: skip
def test_a_line_that_can_be_read_in_two_ways_is_refused_with_its_number(text: str, line: int) -> None:
    with pytest.raises(click.UsageError, match=f"^line {line}(:| is not NAME=VALUE)") as wrong:
        read(text)
    assert "hunter2" not in wrong.value.message


@pytest.mark.parametrize("text", ["hunter2", "A=1\nA=hunter2", 'A="hunter2', "1A=hunter2", "A='", "", "# no"])
def test_a_wrong_line_is_told_by_its_number_alone(text: str) -> None:
    with pytest.raises(click.UsageError) as wrong:
        read(text)
    assert "hunter2" not in wrong.value.message


# Rolled out.


def converge(shop: Shop, *args: str) -> None:
    shop.said(
        *("deploy", "web", "--image", "nginx", "--region", "iad", "--strategy", "rolling", "--smoke-check", "0"), *args
    )


def versions(shop: Shop) -> dict[str, str]:
    return {each["name"]: each["instance_id"] for each in shop.json("machines", "list", "web")}


def test_a_changed_secret_is_rolled_out_to_each_group_and_to_launches(shop: Shop) -> None:
    shop.ask(*SET, "KEY", answer=BytesIO(b"hunter2"))
    converge(shop)
    converge(shop, "--group", "worker")
    shop.said("deploy", "web", "--image", "nginx", "--region", "iad", "--launch", "v1", "--add")
    shop.ask(*SET, "KEY", answer=BytesIO(b"hunter3"))
    before = versions(shop)
    planned = shop.said("secrets", "deploy", "web", "--dry-run")
    assert versions(shop) == before
    assert planned.count("web, current secrets, launch ") == 3
    assert planned.count("update in place: secrets changed") == 3
    assert "hunter" not in planned
    said = shop.said("secrets", "deploy", "web")
    assert "hunter" not in said
    assert not before.items() & versions(shop).items()
    again = shop.said("secrets", "deploy", "web")
    assert again.count("nothing to do") == 3


def test_a_group_may_be_named(shop: Shop) -> None:
    converge(shop)
    converge(shop, "--group", "worker")
    shop.ask(*SET, "KEY", answer=BytesIO(b"hunter2"))
    before = versions(shop)
    shop.said("secrets", "deploy", "web", "--group", "worker", "--max-unavailable", "1")
    changed = {name for name, version in versions(shop).items() if version != before[name]}
    assert changed == {"worker-iad-1"}


def test_a_group_that_fails_ends_it(shop: Shop) -> None:
    converge(shop)
    converge(shop, "--group", "worker")
    shop.ask(*SET, "KEY", answer=BytesIO(b"hunter2"))
    shop.emulator.faults.add(Fault(does="fail", name="app-iad-1"))
    before = versions(shop)
    assert shop.ask("secrets", "deploy", "web").exit_code == 1
    assert before.items() - versions(shop).items() == {("app-iad-1", before["app-iad-1"])}


@pytest.mark.parametrize("output", [(), ("--json",)])
def test_failures_of_secrets_deploy_name_commands(shop: Shop, output: tuple[str, ...]) -> None:
    converge(shop)
    shop.ask(*SET, "KEY", answer=BytesIO(b"hunter2"))
    shop.emulator.faults.add(Fault(does="crash", name="app-iad-1", seconds=0.1, exit_code=3))
    text = shop.ask("secrets", "deploy", "web", *output).stdout
    # The event, the machine, and the failure that ended the deploy.
    assert text.count("flyasync machines events web") >= 3, text
    assert "fly.machines" not in text


def test_an_app_without_machines_has_nothing_to_roll_out(shop: Shop) -> None:
    result = shop.ask("secrets", "deploy", "web")
    assert result.exit_code == 0
    assert "web has no machines to update" in result.stderr


def test_secrets_deploy_as_json_ends_with_the_report(shop: Shop) -> None:
    converge(shop)
    shop.ask(*SET, "KEY", answer=BytesIO(b"hunter2"))
    told = events(shop.said("secrets", "deploy", "web", "--json"))
    assert told[-1]["report"]["ok"] is True
    assert told[-1]["report"]["strategy"] == "secrets"
