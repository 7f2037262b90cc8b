"""The reference is complete: each public name, error, command, option, event, phase, fault and route is in it."""

import re
import tomllib
from collections.abc import Iterator
from itertools import chain
from typing import Any

import click
import pytest

import flyasync
import flyasync.testing
from docs.cli_reference import expanded
from flyasync import FlyError, Phase, Result, Status, errors
from flyasync.cli.main import command as root
from flyasync.cli.shared import exit_codes
from flyasync.emulator.core.faults import AFTER, BEFORE, LISTS, MACHINE
from flyasync.emulator.http.routes import emulator_admin
from tests.docs.pages import DOCS, PAGES, README

TEXT = {page: path.read_text(encoding="utf-8") for page, path in PAGES.items()}
DESCRIBED = re.findall(r"^::: (\S+)$", "\n".join(TEXT.values()), re.MULTILINE)


def page(name: str) -> str:
    return TEXT[f"docs/pages/{name}.md"]


def section(name: str, title: str) -> str:
    """Return a section of a page, up to the next heading."""
    return page(name).split(f"## {title}\n")[1].split("\n## ")[0]


def first_column(text: str) -> list[str]:
    """Return the words in code style in the first column of the tables."""
    cells = re.findall(r"^\| ([^|]*) \|", text, re.MULTILINE)
    return [word for cell in cells for word in re.findall(r"`([^`]+)`", cell)]


@pytest.mark.parametrize(
    "name",
    [
        *(f"flyasync.{name}" for name in flyasync._HOMES),
        *(f"flyasync.testing.{name}" for name in flyasync.testing.__all__),
    ],
)
def test_every_public_name_has_one_entry(name: str) -> None:
    assert DESCRIBED.count(name) == 1


def test_nothing_is_described_twice() -> None:
    assert len(DESCRIBED) == len(set(DESCRIBED))


def subclasses(kind: type[FlyError]) -> Iterator[type[FlyError]]:
    yield kind
    for each in kind.__subclasses__():
        yield from subclasses(each)


def test_every_error_is_explained() -> None:
    classes = {each.__name__ for each in subclasses(FlyError) if each.__module__ == errors.__name__}
    explained = re.findall(r"^\| \[`(\w+)`\]\(#flyasync\.\1\) \| .+ \| .+ \|$", page("errors"), re.MULTILINE)
    assert sorted(explained) == sorted(classes - {"FlyError"})


def commands(command: click.Command, context: click.Context) -> Iterator[tuple[str, click.Command, click.Context]]:
    yield context.command_path, command, context
    if isinstance(command, click.Group):
        for name in command.list_commands(context):
            child = command.get_command(context, name)
            assert child
            yield from commands(child, click.Context(child, info_name=name, parent=context))


def test_every_command_and_option_is_in_the_reference() -> None:
    written = "\n".join(chain.from_iterable(expanded(line) for text in TEXT.values() for line in text.splitlines()))
    sections = {
        found[1]: found[2]
        for found in re.finditer(
            r"^#{1,4} (flyasync [a-z -]+)$(.*?)(?=^#{1,4} flyasync |\Z)", written, re.DOTALL | re.MULTILINE
        )
    }
    seen = 0
    for path, command, context in commands(root, click.Context(root, info_name="flyasync")):
        if path == "flyasync":
            continue
        seen += 1
        for param in command.get_params(context):
            if isinstance(param, click.Option) and "--help" not in param.opts:
                assert max(param.opts, key=len) in sections[path], f"{path} {param.opts}"
    assert seen == len(sections) > 50


def test_every_top_level_command_is_in_the_overview() -> None:
    context = click.Context(root, info_name="flyasync")
    assert set(first_column(page("cli/index"))) >= set(root.list_commands(context))


@pytest.mark.parametrize(
    ("title", "words"),
    [("Phases", Phase), ("Results", Result)],
)
def test_the_page_of_json_events_has_every_word(title: str, words: Any) -> None:
    assert sorted(first_column(section("json-events", title))) == sorted(map(str, words))


def test_the_page_of_json_events_has_every_exit_code() -> None:
    ours = {value for name, value in vars(exit_codes).items() if name.isupper() and isinstance(value, int)}
    ours |= {status.exit_code for status in Status}
    rows = re.findall(r"^\| ([\d, ]+) \|", section("json-events", "Exit codes"), re.MULTILINE)
    listed = {int(code) for row in rows for code in row.split(", ")}
    assert listed == ours | {128 + 15, 128 + 1}


def test_the_page_of_json_events_has_every_status_with_its_exit_code_and_meaning() -> None:
    rows = re.findall(r"^\| (\d+)[^|]* \| `([^`]+)` \| (.+) \|$", section("json-events", "Exit codes"), re.MULTILINE)
    assert {(word, int(code)) for code, word, _ in rows} == {(str(status), status.exit_code) for status in Status}
    for _, word, meaning in rows:
        assert meaning.startswith(Status(word).meaning.split(";")[0])


def test_the_page_of_the_emulator_has_every_fault_and_route() -> None:
    assert sorted(first_column(section("emulator", "Faults"))[1:]) == sorted(BEFORE | AFTER | LISTS | MACHINE)


def test_the_page_of_the_emulator_has_every_control_route() -> None:
    served = {f"{method} {path}" for method, path, _ in emulator_admin.ROUTES}
    assert set(first_column(section("emulator", "Control routes"))) == served


def test_the_navigation_has_every_page() -> None:
    def leaves(entries: list[Any]) -> Iterator[str]:
        for entry in entries:
            for value in entry.values():
                yield from leaves(value) if isinstance(value, list) else [value]

    nav = tomllib.loads((DOCS.parent / "zensical.toml").read_text(encoding="utf-8"))["project"]["nav"]
    assert sorted(leaves(nav)) == sorted(path.relative_to(DOCS).as_posix() for path in DOCS.rglob("*.md"))


@pytest.mark.parametrize("name", PAGES)
def test_every_link_to_a_file_leads_somewhere(name: str) -> None:
    for link in re.findall(r"\]\(([^)#]+)(?:#[^)]*)?\)", TEXT[name]):
        if not link.startswith("https://"):
            assert (PAGES[name].parent / link).is_file(), link


def test_what_readme_links_to_is_the_whole_documentation() -> None:
    assert README.read_text(encoding="utf-8").count("](docs/pages/") >= 18
