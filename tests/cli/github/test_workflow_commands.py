"""Annotations as the runner of GitHub Actions reads them, and lines that it must not read as commands."""

import json
from io import StringIO

import pytest

from flyasync.cli.github.workflow_commands import Annotation, Level, inert_json, shown, without_commands
from flyasync.cli.shared.actions import inert


def test_an_annotation_is_one_line() -> None:
    annotation = Annotation(Level.ERROR, "web: a,b 100%", "50% of\r\nthem: a,b")
    assert str(annotation) == "::error title=web%3A a%2Cb 100%25::50%25 of%0Athem: a,b"


def test_an_escape_in_the_text_stays_text() -> None:
    assert str(Annotation(Level.WARNING, "%0A", "%0A::error::x")) == "::warning title=%250A::%250A::error::x"


def test_the_tenth_annotation_of_a_level_counts_those_that_github_drops() -> None:
    errors = [Annotation(Level.ERROR, str(number), "x") for number in range(12)]
    notices = [Annotation(Level.NOTICE, str(number), "x") for number in range(10)]
    found = list(shown([*errors, *notices]))
    assert [each.title for each in found] == [*map(str, range(9)), "3 more", *map(str, range(10))]


@pytest.mark.parametrize(
    ("text", "harmless"),
    [
        ("::set-output name=status::ok", ": :set-output name=status::ok"),
        ("  ::stop-commands::x\n\t::add-mask::a", "  : :stop-commands::x\n\t: :add-mask::a"),
        ("it failed: ##[error]boom", "it failed: ## [error]boom"),
        ("a::b and fdaa:0:1::3", "a::b and fdaa:0:1::3"),
    ],
)
def test_no_line_is_a_command(text: str, harmless: str) -> None:
    assert inert(text) == harmless


def test_json_keeps_its_meaning() -> None:
    line = json.dumps({"message": "##[set-output name=a]b"})
    assert "##[" not in inert_json(line)
    assert json.loads(inert_json(line)) == json.loads(line)


def test_a_stream_writes_inert_lines() -> None:
    out = StringIO()
    stream = without_commands(out)
    assert stream.write("::error::x\n") == 11
    assert out.getvalue() == ": :error::x\n"
    assert not stream.isatty()
