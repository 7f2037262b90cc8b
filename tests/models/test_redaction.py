"""What counts as a secret, on both sides: by its place, by its name, by its content."""

from typing import Any

import pytest

from flyasync.models.redaction import (
    HIDDEN,
    before_secret,
    contains_secret,
    holds_a_password,
    is_secret,
    names_a_secret,
    secret_texts,
    shown,
    without_passwords,
)

DIGEST = f"sha256:{'0' * 64}"


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("token", True),
        ("API_KEY", True),
        ("apiKey", True),
        ("db-password", True),
        ("PGPASSWORD", True),
        ("SIGNING_PASSPHRASE", True),
        ("tokenizer", False),
        ("secretary", False),
        ("passwordless", False),
        ("PUBLIC_KEY", False),
        ("sort_key", False),
        ("TOKEN_URL", False),
        ("monkey", False),
    ],
)
def test_names_of_secrets(name: str, *, expected: bool) -> None:
    assert names_a_secret(name) is expected


@pytest.mark.parametrize(
    ("path", "value", "expected"),
    [
        (("env", "PORT"), "80", True),
        (("containers", 0, "env", "PORT"), "80", True),
        (("metadata", "env"), "production", False),
        (("files", 0, "raw_value"), "aGk=", True),
        (("files", 0, "guest_path"), "/a", False),
        (("metadata", "api_key"), "x", True),
        (("checks", "up", "headers", 0, "name"), "X-Any", False),
        (("checks", "up", "headers", 0, "values"), ["x"], True),
        (("services", 0, "ports", 0, "http_options", "response", "headers", "name"), "x", True),
        (("image",), "user:pass@registry.example/web", True),
        (("image",), f"registry.example/web:v1@{DIGEST}", False),
        (("metadata", "mail"), "user:pass@registry.example/web", False),
        (("schedule",), "daily", False),
        (("novel",), "x", True),
        (("novel",), 5, False),
        (("novel",), {"deep": [{"er": "x"}]}, True),
        (("guest", "novel"), "x", True),
        (("extra", "novel"), "x", True),
        (("mounts", "0", "path"), "/data", True),
        ((), "x", False),
    ],
)
def test_places_of_secrets_in_a_config(path: tuple[str | int, ...], value: Any, *, expected: bool) -> None:
    assert is_secret(path, value) is expected


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("postgres://u:p@h/db", True),
        ("postgres://h:5432/db", False),
        ("serve --token=x", True),
        ("serve --token x", True),
        ("Authorization: Bearer x", True),
        ('{"api_key": "x"}', True),
        ("serve --token", False),
        ("serve --port=80", False),
        (["serve", "--token", "x"], True),
        (["serve", "token", "x"], False),
        (["serve", "--token"], False),
        (["serve", ["--token", "x"]], True),
        ({"password": "x"}, True),
        ({"port": {"secret": 1}}, True),
        ({"port": 80}, False),
        (None, False),
        (5, False),
    ],
)
def test_values_that_contain_a_secret(value: Any, *, expected: bool) -> None:
    assert contains_secret(value) is expected
    assert shown(value) == (HIDDEN if expected else repr(value))


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        ({"config": {"image": "nginx", "env": {"A": "x"}}, "region": "iad"}, ["x"]),
        ({"variables": {"appName": "web", "input": {"value": "x", "slug": "personal"}}}, ["x"]),
        ({"variables": "x"}, ["x"]),
        ({"plaintext": "x", "name": "web"}, ["x"]),
        ({"values": {"DB": "x", "OLD": None}}, ["x"]),
        ({"private_key": "x", "hostname": "a.example"}, ["x"]),
        ({"query": "curl --token x", "note": "plain"}, ["curl --token x"]),
        (["plain", "curl --token x"], ["curl --token x"]),
        ("plain", []),
        (None, []),
    ],
)
def test_texts_in_a_request_that_may_be_secret(body: Any, expected: list[str]) -> None:
    assert list(secret_texts(body)) == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("see https://u:p@h/a", "see https://…@h/a"),
        ("see https://u:p@ss@h/a", "see https://…@h/a"),
        ("user:p@registry.example/x", "…@registry.example/x"),
        (f"web:v1@{DIGEST}", f"web:v1@{DIGEST}"),
        ("http://h:80/a", "http://h:80/a"),
    ],
)
def test_passwords_are_taken_out_of_texts(text: str, expected: str) -> None:
    assert without_passwords(text) == expected
    assert not holds_a_password(expected)


@pytest.mark.parametrize(
    ("text", "before"),
    [
        ("TOKEN=abc and more", "TOKEN="),
        ("run --password  hush", "run --password  "),
        ("the words before a key: are kept", "the words before a key: "),
        ("no value", "no value"),
        ("token", "token"),
    ],
)
def test_what_stands_before_a_named_secret(text: str, before: str) -> None:
    assert before_secret(text) == before
