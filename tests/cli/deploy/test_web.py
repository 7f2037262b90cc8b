"""`--web`: the page is announced, a person's browser is left alone, and the deploy is the same."""

import re

import pytest

from tests.cli.driver import deploy

LOCAL = ("--region", "iad", "--local", "--no-config")


@pytest.mark.parametrize("words", [("--web",), ("--web", "--no-open"), ("--web=0", "--json")])
def test_the_page_is_announced_on_stderr(words: tuple[str, ...]) -> None:
    run = deploy(*LOCAL, *words)
    assert run.exit_code == 0
    assert re.search(r"^flyasync: live page: http://127\.0\.0\.1:\d+/[\w-]{32}/$", run.stderr, re.MULTILINE)
    assert "live page" not in run.stdout


def test_without_web_no_page_is_served() -> None:
    assert "live page" not in deploy(*LOCAL).stderr


@pytest.mark.parametrize(
    ("words", "advice"),
    [
        (("--no-open",), "--no-open needs --web"),
        (("--web", "--dry-run"), "--web shows a deploy while it runs"),
        (("--web=70000",), "0<=x<=65535"),
    ],
)
def test_a_wrong_combination_is_refused(words: tuple[str, ...], advice: str) -> None:
    run = deploy(*LOCAL, *words)
    assert run.exit_code == 2
    assert advice in run.stderr
