"""Where the token and the base URL come from, and what is never shown."""

import traceback
from pathlib import Path

import pytest

from flyasync.errors import InvalidInput, MissingToken
from flyasync.transport.credentials import API_URL, PUBLIC_URL, Token, find_api_url, find_base_url, find_token
from tests.transport.scripted import SECRET


def unset(_: str) -> None:
    """Find nothing in the environment."""


def config(folder: Path, text: str | bytes) -> dict[str, str]:
    (folder / "config.yml").write_bytes(text if isinstance(text, bytes) else text.encode())
    return {"FLY_CONFIG_DIR": str(folder)}


@pytest.mark.parametrize(
    ("given", "variables", "found"),
    [
        ("arg", {"FLY_ACCESS_TOKEN": "access", "FLY_API_TOKEN": "api"}, "Bearer arg"),
        (None, {"FLY_ACCESS_TOKEN": "access", "FLY_API_TOKEN": "api"}, "Bearer access"),
        (None, {"FLY_API_TOKEN": "api"}, "Bearer api"),
        (None, {"FLY_ACCESS_TOKEN": " ", "FLY_API_TOKEN": " api\n"}, "Bearer api"),
        (None, {}, "Bearer file"),
    ],
)
def test_the_token_is_looked_for_in_order(
    given: str | None, variables: dict[str, str], found: str, tmp_path: Path
) -> None:
    environment = {**config(tmp_path, "access_token: file\n"), **variables}
    assert find_token(given, environment.get).authorization == found


@pytest.mark.parametrize(
    ("text", "authorization"),
    [
        ("fo1_x", "Bearer fo1_x"),
        ("Bearer fo1_x", "Bearer fo1_x"),
        ("FlyV1 fm2_x", "FlyV1 fm2_x"),
        ("Bearer FlyV1 fm2_x", "FlyV1 fm2_x"),
        ("flyv1  BEARER bearer fm2_x", "FlyV1 fm2_x"),
        ("fm1r_a,fm1a_b,fm2_c", "FlyV1 fm1r_a,fm1a_b,fm2_c"),
        ("fo1_x, fm2_a ,,fm2_b", "FlyV1 fm2_a,fm2_b"),
        ("fo1_x,fo1_y", "Bearer fo1_x,fo1_y"),
        ("FlyV1 fo1_x", "Bearer fo1_x"),
        ("fm3_x", "Bearer fm3_x"),
        ("bearer_x", "Bearer bearer_x"),
    ],
)
def test_the_scheme_follows_from_the_kind_of_token(text: str, authorization: str) -> None:
    assert find_token(text, unset).authorization == authorization


@pytest.mark.parametrize(
    "text",
    [
        "access_token: fm2_x\n",
        "# flyctl\nlast_login: 2026-01-01\naccess_token: fm2_x # mine\nmetrics_token: fm2_y\n",
        'access_token: "fm2_x"\r\n',
        "access_token: 'fm2_x'",
        "access_token:    FlyV1 fm2_x   ",
        "inner:\n  access_token: fm2_no\naccess_token: fm2_x\n",
    ],
)
def test_the_config_file_is_read_as_flyctl_writes_it(text: str, tmp_path: Path) -> None:
    assert find_token(None, config(tmp_path, text).get).authorization == "FlyV1 fm2_x"


@pytest.mark.parametrize("text", ["", "access_token:\n", 'access_token: ""\n', "metrics_token: x\n", b"\xff\xfe"])
def test_a_config_file_without_a_token_is_no_place(text: str | bytes, tmp_path: Path) -> None:
    with pytest.raises(MissingToken):
        find_token(None, config(tmp_path, text).get)


def test_a_config_file_that_cannot_be_read_is_no_place(tmp_path: Path) -> None:
    (tmp_path / "config.yml").mkdir()
    with pytest.raises(MissingToken):
        find_token(None, {"FLY_CONFIG_DIR": str(tmp_path)}.get)


def test_a_missing_token_names_every_place_and_the_cure(tmp_path: Path) -> None:
    with pytest.raises(MissingToken) as caught:
        find_token(None, {"FLY_CONFIG_DIR": str(tmp_path)}.get)
    for place in ("pass one as token", "FLY_ACCESS_TOKEN", "FLY_API_TOKEN", str(tmp_path / "config.yml")):
        assert place in str(caught.value)
    assert "fly tokens create deploy" in str(caught.value)


def test_without_a_config_folder_the_home_is_looked_at(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    (tmp_path / ".fly").mkdir()
    config(tmp_path / ".fly", "access_token: fm2_x\n")
    assert find_token(None, unset).authorization == "FlyV1 fm2_x"


@pytest.mark.parametrize("text", ["", " ", "Bearer", "FlyV1 ", "Bearer FlyV1", ",", "Bearer , ,"])
def test_an_empty_token_is_missing_and_names_its_source(text: str) -> None:
    with pytest.raises(MissingToken, match="the argument token is empty"):
        find_token(text, unset)


@pytest.mark.parametrize("stranger", ["\n", "\r\nX-Other: 1", "\0", "\t", "é", "\x7f"])
def test_what_no_header_can_carry_is_refused_unshown(stranger: str) -> None:
    with pytest.raises(InvalidInput, match="FLY_API_TOKEN contains characters") as caught:
        find_token(None, {"FLY_API_TOKEN": f"{SECRET}{stranger}{SECRET}"}.get)
    assert SECRET not in "".join(traceback.format_exception(caught.value))


def test_a_token_shows_nothing_of_itself() -> None:
    token = Token(SECRET)
    assert SECRET not in f"{token!r} {token!s} {token}"


@pytest.mark.parametrize(
    ("given", "variables", "url"),
    [
        (None, {}, PUBLIC_URL),
        ("https://a.example", {"FLY_FLAPS_BASE_URL": "https://b.example"}, "https://a.example"),
        (None, {"FLY_FLAPS_BASE_URL": "https://b.example", "FLY_API_HOSTNAME": "c.example"}, "https://b.example"),
        (None, {"FLY_FLAPS_BASE_URL": " ", "FLY_API_HOSTNAME": "c.example"}, "https://c.example"),
    ],
)
def test_the_base_url_is_looked_for_in_order(given: str | None, variables: dict[str, str], url: str) -> None:
    assert find_base_url(given, variables.get) == url


@pytest.mark.parametrize(
    ("given", "url"),
    [
        ("https://api.machines.dev/", "https://api.machines.dev"),
        ("https://api.machines.dev/v1", "https://api.machines.dev"),
        (" https://api.machines.dev/v1/ ", "https://api.machines.dev"),
        ("api.machines.dev", "https://api.machines.dev"),
        ("api.machines.dev:8443/v1", "https://api.machines.dev:8443"),
        ("HTTPS://API.Machines.dev", "https://api.machines.dev"),
        ("http://_api.internal:4280", "http://_api.internal:4280"),
        ("http://localhost:8080/v1", "http://localhost:8080"),
        ("http://127.0.0.1:8080", "http://127.0.0.1:8080"),
        ("http://127.9.9.9", "http://127.9.9.9"),
        ("http://[::1]:8080/", "http://[::1]:8080"),
        ("https://[2001:db8::1]", "https://[2001:db8::1]"),
    ],
)
def test_the_root_of_a_host_is_accepted(given: str, url: str) -> None:
    assert find_base_url(given, unset) == url


@pytest.mark.parametrize(
    "given",
    [
        "http://api.machines.dev",
        "http://10.0.0.1",
        "http://[2001:db8::1]",
        "http://localhost.example",
        "http://internal",
        "http://127.0.0.1.example",
        "http://[::ffff:10.0.0.1]",
    ],
)
def test_plain_http_to_elsewhere_is_refused(given: str) -> None:
    with pytest.raises(InvalidInput, match="but the token would be sent unencrypted over http"):
        find_base_url(given, unset)


@pytest.mark.parametrize(
    "given",
    [
        "",
        "https://",
        "ftp://a.example",
        "https://a.example/api",
        "https://a.example/v1/apps",
        "https://a.example/v2",
        "https://a.example?x=1",
        "https://a.example#x",
        "https://a.example:port",
        "https://a.example:99999",
        "https://[::1",
        "https://a b.example",
        "https://a\x00b.example",
    ],
)
def test_what_is_no_root_of_a_host_is_refused(given: str) -> None:
    with pytest.raises(InvalidInput, match="the argument base_url"):
        find_base_url(given, unset)


@pytest.mark.parametrize(
    "given",
    [
        f"https://user:{SECRET}@a.example",
        f"https://{SECRET}@a.example",
        f"https://:{SECRET}@a.example",
        f"user:{SECRET}@a.example",
        f"http://user:{SECRET}@127.0.0.1",
        f"https://user:{SECRET}/x@a.example",
        f"https://user:12/{SECRET}@a.example",
        f"https://user:{SECRET}@[broken",
        f"https://user:{SECRET}@a\u2100.example",
        f"https://user:{SECRET}@a.example:port",
        f"https://a.example?token={SECRET}",
        f"https://a.example#{SECRET}",
    ],
)
def test_credentials_in_a_url_are_refused_unshown(given: str) -> None:
    with pytest.raises(InvalidInput) as caught:
        find_base_url(None, {"FLY_FLAPS_BASE_URL": given}.get)
    assert "FLY_FLAPS_BASE_URL" in str(caught.value)
    assert SECRET not in "".join(traceback.format_exception(caught.value))


@pytest.mark.parametrize(
    ("text", "header"),
    [
        ("fm2_a,fo1_b,fm1r_c", "FlyV1 fm2_a,fm1r_c,fo1_b"),
        ("fo1_b,fm2_a", "FlyV1 fm2_a,fo1_b"),
        ("Bearer fo1_b,other", "Bearer fo1_b,other"),
    ],
)
def test_graphql_gets_every_token_the_macaroons_first(text: str, header: str) -> None:
    token = Token(text).whole
    assert token.authorization == header
    assert "fm" not in repr(token)


@pytest.mark.parametrize(
    ("given", "variables", "base_url", "found"),
    [
        ("https://api.example", {"FLY_API_BASE_URL": "https://other.example"}, PUBLIC_URL, "https://api.example"),
        (None, {"FLY_API_BASE_URL": "https://other.example"}, PUBLIC_URL, "https://other.example"),
        (None, {"FLY_API_BASE_URL": "https://other.example"}, "http://127.0.0.1:1", "http://127.0.0.1:1"),
        (None, {"FLY_API_BASE_URL": "http://127.0.0.1:2"}, "http://127.0.0.1:1", "http://127.0.0.1:2"),
        (None, {"FLY_API_BASE_URL": " "}, PUBLIC_URL, API_URL),
        (None, {}, "http://_api.internal:4280", API_URL),
        (None, {}, "unix:///.fly/api", API_URL),
        (None, {}, "http://127.0.0.1:4280", "http://127.0.0.1:4280"),
        (None, {}, "http://[::1]:4280", "http://[::1]:4280"),
        (None, {}, "http://localhost:4280", "http://localhost:4280"),
    ],
)
def test_graphql_and_logs_are_looked_for_in_order(
    given: str | None, variables: dict[str, str], base_url: str, found: str
) -> None:
    assert find_api_url(given, variables.get, base_url=base_url) == found


@pytest.mark.parametrize(
    "url", ["http://api.fly.io", "https://user:s3cret@api.fly.io", "https://api.fly.io/graphql", "ftp://x"]
)
def test_a_place_where_the_token_could_be_read_is_refused(url: str) -> None:
    with pytest.raises(InvalidInput, match="api_url") as caught:
        find_api_url(url, unset)
    assert "s3cret" not in str(caught.value)


@pytest.mark.parametrize("given", [None, "unix:///.fly/api"])
def test_a_socket_is_found_as_a_base_url(given: str | None) -> None:
    assert find_base_url(given, {"FLY_FLAPS_BASE_URL": " unix:///.fly/api "}.get) == "unix:///.fly/api"


@pytest.mark.parametrize("url", ["unix://", "unix:///", "unix://relative/path"])
def test_a_socket_without_its_whole_path_is_refused(url: str) -> None:
    with pytest.raises(InvalidInput, match=r"base_url is 'unix:.*, but a socket needs an absolute path"):
        find_base_url(url, unset)
