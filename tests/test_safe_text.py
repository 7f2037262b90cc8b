"""What may be shown: no control character of others, no page of HTML, no secret."""

import json
import pickle
from base64 import b64encode, urlsafe_b64encode
from collections.abc import Callable
from functools import partial
from typing import Any

import pytest
from hypothesis import given, strategies as st
from rich.pretty import pretty_repr

from flyasync.safe_text import brief, each_text, has_control, hidden, readable, redaction

SECRET = "hunter2-hunter2"


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("plain, é, 日本, \U0001f600", "plain, é, 日本, \U0001f600"),
        ("a\tb\nc", "a\tb\nc"),
        ("a\r\nb\rc", "a\nbc"),
        ("left\u200e right\u200f", "left\u200e right\u200f"),
        ("join\u200ded", "join\u200ded"),
        ("\x1b[31mred\x1b[0m", "red"),
        ("\x1b[2J\x1b[1;1Hgone", "gone"),
        ("\x9b2Jgone", "gone"),
        ("\x1b]0;title\x07text", "text"),
        ("\x1b]52;c;Y2xpcA==\x1b\\text", "text"),
        ("\x9d0;title\x9ctext", "text"),
        ("\x1bPq#0\x1b\\text", "text"),
        ("\x1bctext", "text"),
        ("\x1b(Btext", "text"),
        ("\x1b]0;never closed\nnext", "0;never closed\nnext"),
        ("end\x1b", "end"),
        ("a\x00b\x08c\x7fd\x85e", "abcde"),
        ("\u202aa\u202bb\u202cc\u202dd\u202ee", "abcde"),
        ("\u2066a\u2067b\u2068c\u2069d", "abcd"),
        ("half \ud83d of a pair", "half \\ud83d of a pair"),
    ],
)
def test_what_drives_a_terminal_is_stripped_and_words_stay(text: str, shown: str) -> None:
    assert readable(text) == shown


@pytest.mark.parametrize("part", ["\x9d", "\x90a", "\x1b]", "\x9b", "\x1b[0 ", "\x9b0\x9d"])
def test_a_hostile_text_takes_no_time(part: str) -> None:
    assert "\x1b" not in readable(part * 1_000_000)


@given(st.text() | st.text("\x1b[]\\0;m\x07\x9b\x9c\x9d\ud800\u202e\na"))
def test_nothing_is_left_that_a_terminal_obeys(text: str) -> None:
    shown = readable(text)
    assert not [letter for letter in shown if ord(letter) < 32 and letter not in "\t\n"]
    assert not set(shown) & {*map(chr, range(0x7F, 0xA0)), *"\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069"}
    shown.encode()


@pytest.mark.parametrize("text", ["a\rb", "a\nb", "a\0b", "a\tb", "\x7f", "\x85", "\ud800"])
def test_control_characters_are_found(text: str) -> None:
    assert has_control(text)


@pytest.mark.parametrize("text", ["", "web", "é", "a b", "\u200e", "\u00a0"])
def test_other_characters_are_no_control_characters(text: str) -> None:
    assert not has_control(text)


@pytest.mark.parametrize(
    ("page", "line"),
    [
        (
            "<!DOCTYPE html><html><head><title>502 Bad Gateway</title></head></html>",
            'an HTML page, "502 Bad Gateway"',
        ),
        ("\n <HTML><Title lang=en>\n 503\n  away </TITLE>" + "p{margin:0}" * 1000, 'an HTML page, "503 away"'),
        ("<!-- x --><html><body><h1>Not <b>here</b> &amp; there</h1></body>", 'an HTML page, "Not here & there"'),
        ('<?xml version="1.0"?><html xmlns="x"></html>', "an HTML page"),
        ("\ufeff<!doctype html><title></title>", "an HTML page"),
        ("<html><title>" + "x" * 500 + "</title>", f'an HTML page, "{"x" * 100}"'),
        ("<center><h1>504 Gateway Time-out</h1></center>" + "<hr>" * 200, 'an HTML page, "504 Gateway Time-out"'),
        ("<meta charset=utf-8>" + "p{margin:0}" * 100, "an HTML page"),
        ("cannot launch: got\n<html>\r\n<head><title>502</title>", 'cannot launch: got an HTML page, "502"'),
        ("got <!-- it --><!doctype HTML><title>Gone</title>", 'got an HTML page, "Gone"'),
        ("no <html> page", "no <html> page"),
        ("<header>: it is missing", "<header>: it is missing"),
    ],
)
def test_a_page_becomes_one_line(page: str, line: str) -> None:
    assert brief(page) == line


def test_a_long_text_is_cut() -> None:
    assert len(brief("x" * 1_000_000)) == 65_537


@pytest.mark.parametrize(
    "page",
    ["<html><title>" * 50_000, "<!--" * 50_000, "<!-- -->" * 50_000, "<html>" + "<h1 " * 50_000, "<?" + "<" * 50_000],
)
def test_a_hostile_page_takes_no_time(page: str) -> None:
    assert len(brief(page)) < 70_000


@pytest.mark.parametrize(
    "value", [SECRET, SECRET * 20, SECRET.encode() * 20, {"a": SECRET * 20}, [{"b": (SECRET * 20, 1, None)}]]
)
def test_a_hidden_value_is_as_good_as_before_and_no_repr_shows_it(value: object) -> None:
    kept = hidden(value)
    shown = f"{kept!r} {kept!a} {pretty_repr(kept, max_string=80)} {pretty_repr(kept, max_string=5)}"
    assert SECRET[:5] not in shown
    if not isinstance(value, bytes):
        assert json.dumps(kept) == json.dumps(value)
    if isinstance(value, str | bytes):
        assert kept == value
        assert pickle.loads(pickle.dumps(kept)) == value


def test_what_holds_no_text_stays_as_it_is() -> None:
    assert hidden(None) is None
    assert hidden(7) == 7


@pytest.mark.parametrize(
    ("secret", "text", "shown"),
    [
        (SECRET, f"no {SECRET}, no", "no [redacted], no"),
        ('quo"ted\nline', 'in JSON: {"v": "quo\\"ted\\nline"}', 'in JSON: {"v": "[redacted]"}'),
        ("schlüssel", "in JSON: schl\\u00fcssel", "in JSON: [redacted]"),
        ("with space/and more", "in a URL: ?v=with%20space%2Fand%20more", "in a URL: ?v=[redacted]"),
        ("-----BEGIN\nMIIEvQIBADAN\n-----END", "a line: MIIEvQIBADAN", "a line: [redacted]"),
        ("short", "short texts are too common", "short texts are too common"),
        ("12345678", "eight: 12345678", "eight: [redacted]"),
        ("half\ud800surrogate", "no harm", "no harm"),
    ],
)
def test_a_secret_is_redacted_however_it_is_spelled(secret: str, text: str, shown: str) -> None:
    assert redaction([secret])(text) == shown


@pytest.mark.parametrize("around", ["{}", "x:{}", "xy:{}", "{}:x", "a:{}:b"])
def test_a_secret_is_redacted_in_base64_whatever_stands_around_it(around: str) -> None:
    content = around.format(SECRET + "\N{GREEK SMALL LETTER OMEGA}").encode()
    for encode in (b64encode, urlsafe_b64encode):
        shown = redaction([SECRET])(f"Basic {encode(content).decode()} was refused")
        assert "[redacted]" in shown
        assert len(shown) < len("Basic [redacted] was refused") + 14
    assert redaction([SECRET])(b64encode(SECRET.encode()).decode()) == "[redacted]"


def test_of_secrets_that_hold_each_other_the_longer_goes_whole() -> None:
    assert redaction(["password", "password-of-all"])("password-of-all, password") == "[redacted], [redacted]"


def test_texts_are_changed_at_every_depth() -> None:
    assert each_text(str.upper, {"a": ["b", ("c", 1)]}) == {"A": ["B", ["C", 1]]}


@pytest.mark.parametrize("change", [hidden, partial(each_text, str.upper)])
def test_neither_depth_nor_circles_stand_in_the_way(change: Callable[[Any], Any]) -> None:
    deep: list[Any] = []
    for _ in range(100_000):
        deep = [deep]
    circle: dict[str, Any] = {"a": 1}
    circle["me"] = circle
    assert len(change(deep)) == 1
    assert next(value for value in change(circle).values() if value != 1)
