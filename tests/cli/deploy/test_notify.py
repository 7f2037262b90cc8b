"""`--notify`: the last line of `--json` goes to a URL, whatever the result, and the result stays as it is."""

import json
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from flyasync import Fault
from tests.api.receiver import Receiver, receiver
from tests.cli.bulk.driver import Street, street
from tests.cli.driver import Shop, events, flyasync

DEPLOY = ("deploy", "web", "--image", "nginx", "--region", "iad", "--strategy", "rolling", "--launch", "v1")


@pytest.fixture
def there(shop: Shop) -> Iterator[Receiver]:
    yield from served(shop)


def served(shop: Shop | Street, statuses: tuple[int, ...] = (204,)) -> Iterator[Receiver]:
    """Serve a receiver in the loop of the command lines."""
    serving = receiver(statuses)

    async def enter() -> Receiver:
        return await serving.__aenter__()

    async def leave() -> None:
        await serving.__aexit__(None, None, None)

    yield shop.drive(enter())
    shop.drive(leave())


def documents(there: Receiver) -> list[dict[str, Any]]:
    return [json.loads(got.body) for got in there.received]


def test_it_is_the_last_line_of_json_and_signed(monkeypatch: pytest.MonkeyPatch, shop: Shop, there: Receiver) -> None:
    monkeypatch.setenv("FLYASYNC_NOTIFY_KEY", "0123456789abcdef")
    result = shop.ask(*DEPLOY, "--json", "--notify", there.url, "--message", "why")
    last = events(result.stdout)[-1]
    del last["api"]
    assert documents(there) == [last]
    assert last["report"]["origin"]["message"] == "why"
    assert there.received[0].is_signed_by("0123456789abcdef")


def test_an_undo_is_posted_and_a_dry_run_is_not(shop: Shop, there: Receiver) -> None:
    shop.said(*DEPLOY)
    shop.said(*DEPLOY[:-1], "v2", "--env", "A=1")
    shop.said("deploy", "web", "--undo", "--dry-run", "--notify", there.url)
    shop.said("deploy", "web", "--undo", "--notify", there.url)
    assert [each["report"]["strategy"] for each in documents(there)] == ["undo"]


def test_a_failed_deploy_is_posted_and_an_error_before_it_is_not(shop: Shop, there: Receiver) -> None:
    assert shop.ask(*DEPLOY, "--notify", there.url, "--size", "huge-1x").exit_code == 2
    assert documents(there) == []
    shop.emulator.faults.add(Fault(does="crash"))
    assert shop.ask(*DEPLOY, "--notify", there.url).exit_code == 1
    assert [each["report"]["status"] for each in documents(there)] == ["failed"]


@pytest.mark.parametrize("status", [302, 404, 503])
def test_a_failed_notification_is_a_warning(shop: Shop, status: int) -> None:
    for there in served(shop, (status,)):
        result = shop.ask(*DEPLOY, "--notify", there.url.replace("://", "://user:hunter22@") + "/T0KEN")
    assert result.exit_code == 0
    assert "web: ok" in result.stdout
    assert "flyasync: the report could not be posted: webhook.post http://127.0.0.1:" in result.stderr
    assert f"it returned HTTP {status}" in result.stderr
    assert not any(secret in result.output for secret in ("hunter22", "T0KEN"))


def test_a_signal_still_posts_the_report(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    with street(monkeypatch, tmp_path, 1, boot=(60.0, 60.0)) as here:
        for there in served(here):
            line = ("deploy", "shop-0", "--image", "nginx", "--region", "iad", "--notify", there.url)
            result = flyasync(*line, drive=here.interrupted(5.0, number=signal.SIGTERM))
    assert result.exit_code == 143
    assert [each["report"]["cancelled"] for each in documents(there)] == [True]


@pytest.mark.parametrize("url", ["hooks.example.com", "ftp://user:hunter22@example.com"])
def test_a_url_that_is_none_is_refused_before_any_request(shop: Shop, url: str) -> None:
    before = len(shop.emulator.log)
    result = shop.ask(*DEPLOY, "--notify", url)
    assert result.exit_code == 2
    assert "a notification goes to an http or https URL" in result.stderr
    assert "hunter22" not in result.stderr
    assert len(shop.emulator.log) == before


def test_a_rehearsal_says_so(shop: Shop, there: Receiver) -> None:
    shop.said(*DEPLOY, "--local", "--notify", there.url)
    assert documents(there)[0]["local"] is True


def test_a_bulk_run_posts_its_summary(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    with street(monkeypatch, tmp_path, 2) as here:
        text = "app,image,region\nshop-0,nginx,iad\nshop-1,nginx,lhr\n"
        for there in served(here):
            assert here.bulk(text, "--notify", there.url, "--launch", "v1").exit_code == 0
        for failing in served(here, (404,)):
            result = here.bulk(text, "--notify", failing.url, "--launch", "v1")
    (document,) = documents(there)
    assert (document["event"], document["ok"], document["apps"], document["launch"]) == ("finished", True, 2, "v1")
    assert result.exit_code == 0
    assert "flyasync: the report could not be posted" in result.stderr
