"""A summary has the same elements whatever the texts in the report contain."""

import re
from collections import Counter

import pytest
from attrs import evolve

from flyasync import DeployReport, Result
from flyasync.cli.github.report_summary import annotations, job_summary
from flyasync.cli.github.workflow_commands import Level
from flyasync.deploy.plan.launch_origin import LaunchOrigin
from tests.cli.github.test_markdown import GITHUB, HOSTILE
from tests.deploy.reporting.test_html import full


def failing(text: str) -> DeployReport:
    """Give a report of failed machines in which everything that can say anything says `text`."""
    one = evolve(full(text), rollback=None, needed=9, origin=LaunchOrigin(message=text), remarks=(text,))
    first, *others = one.regions
    first = evolve(first, machines=tuple(evolve(each, result=Result.FAILED) for each in first.machines))
    one = evolve(one, regions=(first, *others))
    return evolve(one, rollback=one)


def elements(text: str) -> Counter[str]:
    """Count the elements of a summary in which everything that can say anything says `text`."""
    html = GITHUB.render(job_summary(failing(text), [text]))
    return Counter(re.findall(r"<\s*/?\s*[a-zA-Z!-]+", html))


@pytest.mark.parametrize("text", HOSTILE)
def test_no_text_adds_an_element(text: str) -> None:
    # A text of two lines has a break between them.
    same = "x\n\n".join("x" for _ in filter(str.strip, text.splitlines()))
    assert elements(text) == elements(same)


@pytest.mark.parametrize("text", HOSTILE)
def test_every_annotation_is_one_line(text: str) -> None:
    lines = [str(each) for each in annotations(failing(text))]
    assert all(re.fullmatch(r"::(error|warning|notice) title=[^:,\r\n]*::[^\r\n]*", line) for line in lines)


def test_a_failure_has_the_words_of_the_api_and_the_id_of_the_request() -> None:
    errors = [each for each in annotations(failing("no")) if each.level is Level.ERROR]
    assert any('no has no room (region): "no" (HTTP 422 no, request no)' in each.message for each in errors)
