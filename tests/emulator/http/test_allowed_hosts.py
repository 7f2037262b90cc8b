"""Requests as browsers send them for web pages, and as curl does."""

from typing import Any

import pytest

from flyasync.emulator import Emulator
from tests.emulator.driver import Api, serving

PATHS = [
    ("GET", "/_emulator/log"),
    ("POST", "/_emulator/capacity"),
    ("POST", "/_emulator/reset"),
    ("GET", "/v1/apps/web"),
    ("DELETE", "/v1/apps/web"),
    ("POST", "/graphql"),
    ("GET", "/nowhere"),
]


def port(api: Api) -> str:
    return api.emulator.url.rpartition(":")[2]


async def knock(api: Api, method: str = "GET", path: str = "/_emulator/log", **headers: str) -> int:
    sent = {name.replace("_", "-"): value.replace("PORT", port(api)) for name, value in headers.items()}
    return (await api.ask(method, path, headers=sent)).status


@pytest.mark.parametrize(("method", "path"), PATHS)
@pytest.mark.parametrize(
    "headers",
    [
        {"Host": "evil.example"},
        {"Host": "127.0.0.1.evil.example:PORT"},
        {"Host": "127.0.0.1@evil.example"},
        {"Host": "10.0.0.1:PORT"},
        {"Host": "0.0.0.0:PORT"},
        {"Host": ""},
        {"Host": "[::1"},
        {"Origin": "http://evil.example", "Content_Type": "text/plain"},
        {"Origin": "null"},
        {"Origin": "http://127.0.0.1:1"},
        {"Origin": "http://127.0.0.1"},
        {"Origin": "https://127.0.0.1:PORT"},
        {"Origin": "http://127.0.0.1:PORT.evil.example"},
        {"Origin": ""},
        {"Sec_Fetch_Site": "cross-site"},
        {"Sec_Fetch_Site": "Cross-Site", "Origin": "http://127.0.0.1:PORT"},
    ],
    ids=str,
)
async def test_other_sites_are_refused(api: Api, method: str, path: str, headers: dict[str, str]) -> None:
    assert await knock(api, method, path, **headers) == 403
    assert "web" in api.emulator.world.apps


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"Host": "localhost:PORT"},
        {"Host": "LOCALHOST"},
        {"Host": "127.0.0.2:9"},
        {"Host": "[::1]:PORT"},
        {"Origin": "http://127.0.0.1:PORT"},
        {"Origin": "http://localhost:PORT"},
        {"Origin": "http://localhost:9", "Host": "localhost:9"},  # a port that is forwarded
        {"Origin": "http://localhost", "Host": "localhost"},
        {"Sec_Fetch_Site": "same-origin"},
        {"Sec_Fetch_Site": "none"},
    ],
    ids=str,
)
async def test_its_own_address_is_served(api: Api, headers: dict[str, str]) -> None:
    assert await knock(api, **headers) == 200


async def test_the_refusal_names_the_option_to_use(api: Api) -> None:
    said = await api.ask("GET", "/v1/apps/web", headers={"Host": "evil.example"})
    assert "Host 'evil.example'; to allow a host name, start it with --allow-host NAME" in said.error


async def test_a_body_is_json_whatever_its_type(api: Api) -> None:
    for kind in ("text/plain", "application/x-www-form-urlencoded", "application/json"):
        body, headers = b'{"region": "lhr", "machines": 0}', {"Content-Type": kind}
        assert (await api.post("/_emulator/capacity", data=body, headers=headers)).status == 204


async def test_an_allowed_name_opens_host_and_origin() -> None:
    async with serving(allow_hosts=["Emulator.test"]) as api:
        assert await knock(api, Host="emulator.test:PORT") == 200
        assert await knock(api, Origin="https://emulator.test:8443", Sec_Fetch_Site="cross-site") == 200
        assert await knock(api, Host="sub.emulator.test") == 403
        assert await knock(api, Origin="http://evil.example") == 403


@pytest.mark.parametrize(
    ("host", "served", "refused"),
    [
        ("0.0.0.0", ["10.0.0.7:PORT", "127.0.0.1", "0.0.0.0:PORT"], ["emulator.test", "evil.example"]),
        ("127.0.0.3", ["127.0.0.3:PORT"], ["10.0.0.7"]),
    ],
)
async def test_an_address_opens_itself(host: str, served: list[str], refused: list[str]) -> None:
    async with serving(host=host) as api:
        for name in served:
            assert await knock(api, Host=name) == 200
            assert await knock(api, Host=name, Origin=f"http://{name}") == 200
        for name in refused:
            assert await knock(api, Host=name) == 403
            assert await knock(api, Origin=f"http://{name}:PORT") == 403


@pytest.mark.parametrize("host", ["localhost", "0.0.0.0"])
async def test_the_url_is_one_that_this_machine_reaches(host: str) -> None:
    async with Emulator(host=host) as emulator:
        assert emulator.url.startswith("http://127.0.0.1:")


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({}, []),
        ({"host": "::1"}, []),
        ({"host": "10.0.0.7"}, ["10.0.0.7"]),
        ({"host": "::", "allow_hosts": ["b.test", "a.test"]}, ["can reach ::", "a.test, b.test"]),
    ],
)
def test_it_warns_who_can_reach_it(options: dict[str, Any], words: list[str]) -> None:
    said = Emulator(**options).warnings
    assert len(said) == len(words)
    assert all(word in text for word, text in zip(words, said, strict=True))
