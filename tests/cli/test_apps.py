import asyncio
import json
import signal
from collections.abc import Coroutine
from io import BytesIO
from typing import Any

import pytest

from flyasync.emulator import Fault
from tests.cli.driver import Keyboard, Shop, flyasync


def test_apps_are_created_listed_shown_and_destroyed(shop: Shop) -> None:
    assert shop.said("apps", "create", "shop", "--org", "personal") == "created the app shop in personal\n"
    assert [line.split("\t")[0] for line in shop.said("apps", "list").splitlines()] == ["web", "shop"]
    assert "name\tshop\n" in shop.said("apps", "show", "shop")
    assert shop.said("apps", "destroy", "shop", "--yes") == "destroyed the app shop\n"
    assert [app["name"] for app in shop.json("apps", "list", "--org", "personal")] == ["web"]


def test_an_app_is_created_in_the_only_organization_of_the_token(shop: Shop) -> None:
    assert shop.said("apps", "create", "shop") == "created the app shop in personal\n"


def test_json_is_one_document_with_all_that_the_api_said(shop: Shop) -> None:
    assert shop.json("apps", "show", "web")["organization"]["slug"] == "personal"
    assert shop.json("apps", "create", "shop", "--org", "personal")["name"] == "shop"
    assert shop.json("apps", "destroy", "shop", "--yes") == {"app": "shop", "destroyed": True}


def test_it_tells_where_it_goes(shop: Shop) -> None:
    assert shop.ask("apps", "show", "web").stderr == f"flyasync: api: {shop.emulator.url}\n"


def test_a_token_that_may_not_list_organizations_knows_its_own(shop: Shop) -> None:
    shop.emulator.faults.add(Fault(does="refuse", action="graphql", status=403, body={"error": "no"}))
    assert [app["name"] for app in shop.json("apps", "list")] == ["web"]


def test_what_the_api_refuses_is_one_line_and_exit_status_1(shop: Shop) -> None:
    result = shop.ask("apps", "show", "nosuch")
    assert (result.exit_code, result.stdout) == (1, "")
    assert result.stderr.splitlines()[-1].startswith("flyasync: apps.get nosuch: ")
    told = shop.json("apps", "show", "nosuch", exit_code=1)
    assert (told["event"], told["kind"], told["exit"]) == ("error", "NotFound", 1)


def test_without_a_token_it_says_so() -> None:
    result = flyasync("apps", "list")
    assert result.exit_code == 1
    assert "FLY_API_TOKEN" in result.stderr


@pytest.mark.parametrize(("answer", "exit_code", "left"), [(b"y\n", 0, 0), (b"n\n", 1, 1), (b"", 130, 1)])
def test_in_a_terminal_it_asks_before_it_destroys(shop: Shop, answer: bytes, exit_code: int, left: int) -> None:
    result = shop.ask("apps", "destroy", "web", answer=Keyboard(answer))
    assert result.exit_code == exit_code
    assert "Destroy the app web and everything in it?" in result.stderr
    assert len(shop.json("apps", "list")) == left


def test_where_nobody_can_be_asked_it_needs_a_yes(shop: Shop) -> None:
    result = shop.ask("apps", "destroy", "web", answer=BytesIO(b"y\n"))
    assert result.exit_code == 2
    assert "use --yes to skip it" in result.stderr


@pytest.mark.parametrize(
    ("args", "says"),
    [
        (["apps", "lst"], "Did you mean 'list'?"),
        (["machine"], "Did you mean 'machines'?"),
        (["machines", "dance"], "No such command 'dance'"),
        (["volumes", "create", "x", "y"], "Missing option '--region'"),
    ],
)
def test_a_wrong_command_line_exits_with_2(args: list[str], says: str) -> None:
    result = flyasync(*args)
    assert result.exit_code == 2
    assert says in result.stderr


def test_an_empty_list_is_empty_json_and_no_line(shop: Shop) -> None:
    assert shop.json("machines", "list", "web") == []
    assert shop.said("machines", "list", "web") == ""


def test_regions_are_listed(shop: Shop) -> None:
    assert any(line.startswith("iad\t") for line in shop.said("regions").splitlines())
    assert {"iad", "lhr"} <= {region["code"] for region in shop.json("regions")}


def test_tokens_tell_who_one_is_and_never_themselves(shop: Shop) -> None:
    (mine,) = shop.json("tokens", "current")
    assert mine["org_slug"] == "personal"
    assert shop.emulator.token not in shop.said("tokens", "current") + json.dumps(mine)


def test_a_deploy_token_is_printed_alone(shop: Shop) -> None:
    token = shop.said("tokens", "create-deploy", "web", "--expiry", "24h")
    assert token.startswith("FlyV1 ")
    assert len(token.splitlines()) == 1
    assert shop.json("tokens", "create-deploy", "web")["token"] != token.strip()


def test_an_expiry_that_is_no_duration_is_wrong_input(shop: Shop) -> None:
    assert shop.ask("tokens", "create-deploy", "web", "--expiry", "soon").exit_code == 2


def test_ctrl_c_ends_it_with_130(shop: Shop) -> None:
    shop.emulator.faults.add(Fault(does="delay", seconds=60.0))
    result = flyasync("apps", "show", "web", drive=lambda work: shop.drive(_interrupted(work)))
    assert result.exit_code == 130
    assert result.stderr.endswith("flyasync: stopping: requests that were sent may still take effect\n")


async def _interrupted(work: Coroutine[Any, Any, int]) -> int:
    asyncio.get_running_loop().call_later(1, signal.raise_signal, signal.SIGINT)
    return await work
