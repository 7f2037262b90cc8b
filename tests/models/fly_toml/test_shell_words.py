"""Words as a POSIX shell splits them, and as the one on this machine does."""

import subprocess

import pytest

from flyasync.models.fly_toml.shell_words import split_words

LINES: dict[str, list[str]] = {
    "": [],
    " \t\n ": [],
    "bin/web --name 'a b' --n=#1": ["bin/web", "--name", "a b", "--n=#1"],
    r'sh -c "run --port \$PORT"': ["sh", "-c", "run --port $PORT"],
    r'sh -c "echo \`date\`"': ["sh", "-c", "echo `date`"],
    r'sh -c "say \"hi\" \\ a"': ["sh", "-c", 'say "hi" \\ a'],
    r'"\n \a" \n': [r"\n \a", "n"],
    r"'\n' 'a\'": [r"\n", "a\\"],
    "run a # note": ["run", "a"],
    "# all of it": [],
    "run#x a#": ["run#x", "a#"],
    "'#' \\# \"#\"": ["#", "#", "#"],
    "''#x": ["#x"],
    "run '' x \"\"": ["run", "", "x", ""],
    "a'b'\"c\"\\ d": ["abc d"],
    "a\\\nb \\\n c": ["ab", "c"],
    '"a\\\nb"': ["ab"],
    "a\\ b": ["a b"],
    "\u00e9\u00a0x": ["\u00e9\u00a0x"],
}
"""What a shell without anything to expand makes of each line."""


@pytest.mark.parametrize(("line", "words"), LINES.items())
def test_a_line_in_words(line: str, words: list[str]) -> None:
    assert list(split_words(line)) == words


def test_a_line_break_ends_a_comment_and_no_command() -> None:
    assert split_words("run # the first\n a\n") == ("run", "a")


@pytest.mark.parametrize("line", ["run $HOME *", "a && b | c > d; e"])
def test_nothing_is_expanded_and_nothing_is_an_operator(line: str) -> None:
    assert list(split_words(line)) == line.split()


@pytest.mark.parametrize("line", [line for line in LINES if line.strip()])
def test_a_shell_agrees(line: str) -> None:
    script = f"set -- {line}\nfor word; do printf '%s\\0' \"$word\"; done"
    said = subprocess.run(["/bin/sh", "-c", script], capture_output=True, check=True, encoding="utf-8").stdout
    assert said.split("\0")[:-1] == list(split_words(line))


@pytest.mark.parametrize(
    ("line", "says"),
    [("it's", "a quote is not closed"), ('a "b', "a quote is not closed"), ("a\\", "it ends with a backslash")],
)
def test_a_line_that_does_not_end(line: str, says: str) -> None:
    with pytest.raises(ValueError, match=says):
        split_words(line)
