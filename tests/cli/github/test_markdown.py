"""Whatever a text contains, GitHub shows its characters, and nothing of it is markup."""

import re

import pytest
from hypothesis import example, given, strategies as st
from markdown_it import MarkdownIt
from markdown_it.token import Token

from flyasync.cli.github.markdown import bold, details, escaped, heading, items, preformatted, several_lines, table
from flyasync.safe_text import readable

GITHUB = MarkdownIt("gfm-like", {"linkify": False})
HOSTILE = [
    "a | b",
    "| --- | --- |",
    "**bold** _it_ ~~gone~~ `code`",
    "<script>alert(1)</script>",
    "</details></td></table><img src=x onerror=alert(1)>",
    "&lt;b&gt; &amp; &copy;",
    "[click](https://evil.example) ![x](https://evil.example/x.png)",
    "<!-- a comment",
    "# heading",
    "- item",
    "1. item",
    "2) item",
    "> quote",
    "=====",
    "---",
    "\\| \\` \\\\",
    "$x$ and $$y$$",
    "```\nfence\n```",
    "a\n\n# b",
    "a\u2028# b",
    "</pre><h1>",
    "\u202eevil\x1b[31m",
]


def tokens(text: str) -> list[Token]:
    return [inner for token in GITHUB.parse(text) for inner in (token, *(token.children or ()))]


def texts(text: str) -> str:
    return "".join(token.content for token in tokens(text) if token.type in {"text", "text_special"})


def kinds(text: str) -> list[str]:
    return [token.type for token in tokens(text) if token.type not in {"text", "text_special"}]


def line(text: str) -> str:
    return " ".join(readable(text).split())


@given(st.text(st.characters(exclude_categories=["Cs"])) | st.sampled_from(HOSTILE))
@example("0.")
@example("a & b &#60;")
def test_a_text_is_shown_as_it_is_wherever_it_stands(text: str) -> None:
    if not line(text):
        return
    assert texts(escaped(text)) == line(text)
    assert kinds(escaped(text)) == ["paragraph_open", "inline", "paragraph_close"]
    assert texts(heading(2, text)) == line(text)
    assert kinds(items([text])) == [
        "bullet_list_open", "list_item_open", "paragraph_open", "inline", "paragraph_close", "list_item_close",
        "bullet_list_close",
    ]  # fmt: skip
    assert texts(items([text])) == line(text)


@given(st.lists(st.sampled_from(HOSTILE) | st.text(st.characters(exclude_categories=["Cs"])), min_size=2, max_size=2))
def test_a_table_has_the_cells_that_it_was_given(cells: list[str]) -> None:
    drawn = table(["A", "B"], [cells])
    assert kinds(drawn).count("td_open") == 2
    assert [
        token for token in kinds(drawn) if token.startswith(("html", "link", "image", "code", "strong", "em"))
    ] == []
    assert texts(drawn) == "AB" + "".join(map(line, cells))


@pytest.mark.parametrize("text", HOSTILE)
def test_html_has_no_element_but_our_own(text: str) -> None:
    html = GITHUB.render(bold(text) + "\n\n" + details(text, preformatted(text)) + "\n\n" + several_lines(text))
    own = {"b", "p", "details", "summary", "pre", "br"}
    assert set(re.findall(r"<\s*/?\s*([a-zA-Z!-]+)", html)) <= own
    assert html.count("<pre>") == html.count("</pre>") == 1


def test_no_address_becomes_a_link() -> None:
    assert (
        escaped("see https://evil.example and WWW.evil.example")
        == "see https&#58;//evil.example and WWW&#46;evil.example"
    )


def test_lines_are_kept_where_they_help() -> None:
    assert several_lines("one\n\n  two | three\n") == "one<br>two \\| three"
