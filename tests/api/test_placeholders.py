"""Placeholders: equal for equal values, in every place in which a value may be secret, and nowhere else."""

import base64
import importlib
import json
import pkgutil
from typing import Any
from urllib.parse import quote_plus

import pytest
from attrs import fields

from flyasync import models
from flyasync.api.placeholders import Placeholders
from flyasync.models.model import Model

IMAGE = "registry.fly.io/web:v2"
CONFIG = {
    "image": IMAGE,
    "env": {"DATABASE_URL": "postgres://u:hunter2hunter2@db/x", "FLY_PROCESS_GROUP": "app", "IMAGE": IMAGE},
    "files": [{"guest_path": "/etc/key", "raw_value": base64.b64encode(b"private key of the shop").decode()}],
    "init": {"cmd": ["migrate", "--token", "abcdefghij"]},
    "metadata": {"flyasync_secrets": "0123456789abcdef", "owner": "shop"},
}


def test_a_config_keeps_what_is_public_and_nothing_else() -> None:
    found = Placeholders().in_request({"name": "app-iad-1", "region": "iad", "config": CONFIG})
    config = found["config"]
    assert (found["name"], found["region"], config["image"]) == ("app-iad-1", "iad", IMAGE)
    assert config["env"] == {"DATABASE_URL": "redacted-1", "FLY_PROCESS_GROUP": "app", "IMAGE": "redacted-2"}
    assert base64.b64decode(config["files"][0]["raw_value"]) == b"redacted-3"
    assert config["init"] == {"cmd": ["redacted-4", "redacted-5", "redacted-6"]}
    assert config["metadata"] == {"flyasync_secrets": "0123456789abcdef", "owner": "shop"}


def test_equal_values_have_equal_placeholders_in_requests_and_responses() -> None:
    placeholders = Placeholders()
    sent = placeholders.in_request({"config": CONFIG})
    [listed] = placeholders.in_response("machines.list", [{"id": "m1", "config": CONFIG}])
    assert listed["config"] == sent["config"]
    assert placeholders.in_request(sent) == sent


def test_a_value_is_replaced_in_every_later_text() -> None:
    placeholders = Placeholders(["fo1_top_secret_token"])
    placeholders.in_request({"config": CONFIG})
    text = "postgres://u:hunter2hunter2@db/x was refused for fo1_top_secret_token: private key of the shop"
    assert placeholders.in_response("machines.create", {"error": text}) == {
        "error": "redacted-2 was refused for redacted-1: redacted-4"
    }
    assert placeholders.in_path("/v1/apps/fo1_top_secret_token") == "/v1/apps/redacted-1"


def test_a_value_that_is_also_public_is_kept_where_it_is_public() -> None:
    placeholders = Placeholders()
    env = {"APP_NAME": "shop-frontend", "IMAGE": IMAGE, "REPOSITORY": "registry.fly.io/web"}
    facts = placeholders.in_facts({"app": "shop-frontend", "spec": {"config": {"image": IMAGE, "env": env}}})
    assert set(facts["spec"]["config"]["env"].values()) == {"redacted-1", "redacted-2", "redacted-3"}
    assert placeholders.in_path("/v1/apps/shop-frontend/machines") == "/v1/apps/shop-frontend/machines"
    text = f"shop-frontend runs {IMAGE} of registry.fly.io/web"
    assert placeholders.in_response("machines.create", {"error": text}) == {"error": text}


def test_passwords_of_urls_and_images_are_removed_everywhere() -> None:
    placeholders = Placeholders()
    variables = {"app": "web", "image": "me:hunter2@registry.example/web:1"}
    sent = placeholders.in_request({"query": "query {…}", "variables": variables})
    assert sent["variables"] == {"app": "web", "image": "redacted-1"}
    error = {"error": "cannot reach postgres://u:hunter3@db/x"}
    assert placeholders.in_response("machines.create", error) == {"error": "cannot reach postgres://…@db/x"}
    digest = {"image": f"web:1@sha256:{'a' * 64}"}
    assert placeholders.in_response("images.resolve", digest) == digest


def test_nonces_tokens_and_output_are_replaced_and_errors_keep_their_words() -> None:
    placeholders = Placeholders()
    lease = placeholders.in_response("leases.acquire", {"status": "success", "data": {"nonce": "n1", "expires_at": 7}})
    assert lease == {"status": "success", "data": {"nonce": "redacted-1", "expires_at": 7}}
    assert placeholders.in_response("tokens.create", {"token": "fm2_x"}) == {"token": "redacted-2"}
    output = placeholders.in_response("machines.exec", {"exit_code": 0, "stdout": "hello", "stderr": ""})
    assert output == {"exit_code": 0, "stdout": "redacted-3", "stderr": ""}
    error = {"error": "unauthenticated: token is not valid"}
    assert placeholders.in_response("machines.list", error) == error


def test_the_digests_of_secrets_are_kept_and_their_values_are_not() -> None:
    placeholders = Placeholders()
    listed = {"secrets": [{"name": "API_KEY", "digest": "abc123"}]}
    assert placeholders.in_response("secrets.list", listed) == listed
    assert placeholders.in_request({"values": {"API_KEY": "xyz"}}) == {"values": {"API_KEY": "redacted-1"}}


def test_facts_of_a_deploy_are_replaced_in_configs_and_commands_only() -> None:
    facts = {
        "spec": {"config": {"env": {"A": "b"}}, "release": {"command": "migrate --token x"},
                 "origin": {"message": "token is new"}}
    }  # fmt: skip
    assert Placeholders().in_facts(facts)["spec"] == {
        "config": {"env": {"A": "redacted-1"}},
        "release": {"command": "redacted-2"},
        "origin": {"message": "token is new"},
    }


SECRET = "kx7/93+fo2=8sd72jk"


@pytest.mark.parametrize(
    "revealed",
    [
        SECRET,
        f"before{SECRET}behind",
        quote_plus(SECRET),
        base64.b64encode(SECRET.encode()).decode(),
        base64.urlsafe_b64encode(SECRET.encode()).decode().rstrip("="),
        base64.b64encode(f"x:{SECRET}".encode()).decode(),  # as in Basic credentials
        base64.b64encode(f"a:{SECRET}:b".encode()).decode(),
    ],
)
def test_a_secret_is_found_in_every_spelling(revealed: str) -> None:
    placeholders = Placeholders([SECRET])
    found = placeholders.in_response("machines.create", {"error": f"bad value {revealed}", "details": {revealed: 1}})
    assert found["error"].startswith("bad value ")
    text = json.dumps(found)
    assert SECRET not in text
    # What is left of a text that has the secret in base64 is not longer than what stands around the secret.
    assert len(found["error"]) - len("bad value redacted-1") <= max(12, len(revealed) - len(SECRET))
    assert "redacted-1" in next(iter(found["details"]))


def test_a_short_value_with_the_name_of_a_secret_is_a_word_of_its_own() -> None:
    placeholders = Placeholders()
    placeholders.in_request({"config": {"env": {"DB_PASSWORD": "s3cr3t", "MODE": "fast"}}})
    found = placeholders.in_response(
        "machines.create", {"error": "s3cr3t: no fast password, but s3cr3ts", "id": "s3cr3t"}
    )
    assert found == {"error": "redacted-1: no fast password, but s3cr3ts", "id": "s3cr3t"}


def test_a_command_is_hidden_also_where_no_option_names_a_secret() -> None:
    sent = Placeholders().in_request({"command": ["sh", "-c", "echo hush"], "timeout": 5})
    assert sent == {"command": ["redacted-1", "redacted-2", "redacted-3"], "timeout": 5}
    assert Placeholders().in_request({"cmd": "echo hush"}) == {"cmd": "redacted-1"}


def test_texts_within_graphql_are_hidden_and_so_is_a_variable_with_the_name_of_a_secret() -> None:
    query = 'mutation { set(input: {key: "A", value: "hush-hush", note: """two "lines\n" """, none: ""}) { id } }'
    sent = Placeholders().in_request(
        {"query": query, "variables": {"passwordName": "x", "token_ref": "y", "appId": "z"}}
    )
    assert sent["query"] == (
        'mutation { set(input: {key: "redacted-2", value: "redacted-3", note: "redacted-4", none: ""}) { id } }'
    )
    assert sent["variables"] == {"passwordName": "x", "token_ref": "redacted-1", "appId": "z"}


def test_a_value_of_a_query_does_not_become_public() -> None:
    placeholders = Placeholders()
    placeholders.in_request({"config": {"env": {"A": "hunter2hunter2"}}})
    assert placeholders.in_query("metadata.note", "hunter2hunter2") == "redacted-1"
    assert placeholders.in_query("metadata.api_key", "abc") == "redacted-2"
    assert placeholders.in_query("state", "started") == "started"
    assert placeholders.in_text("hunter2hunter2") == "redacted-1"


@pytest.mark.parametrize(
    ("line", "shown"),
    [
        ("panic: index out of range [5] with length 3, at main.go:42", None),
        ("listening on 0.0.0.0:8080 in iad since 2026-12-01T00:00:00Z", None),
        ("machine 148e21ea7e46e8 boots", None),
        ("connecting to hunter2hunter2 now", "connecting to redacted-1 now"),
        ("the key is sk-93nfo28sd72jk, it works", "the key redacted-2"),
        ("session kx93nfo28sd72jk: opened", "session redacted-2 opened"),
        ("Authorization: Bearer abc def", "Authorization: redacted-2"),
        ("postgres://u:hush@db/x is slow", "postgres://…@db/x is slow"),
    ],
)
def test_a_line_of_a_log_keeps_the_words_of_a_language(line: str, shown: str | None) -> None:
    placeholders = Placeholders()
    placeholders.in_path("/v1/apps/web/machines/148e21ea7e46e8")
    placeholders.in_request({"config": {"env": {"A": "hunter2hunter2"}}})
    page = {"data": [{"attributes": {"message": line, "timestamp": "2026-12-01T00:00:00Z"}}]}
    [found] = placeholders.in_response("logs.stream", page)["data"]
    assert found["attributes"] == {"message": shown or line, "timestamp": "2026-12-01T00:00:00Z"}
    report = {"regions": [{"machines": [{"logs": [line], "message": "148e21ea7e46e8"}]}]}
    [machine] = placeholders.in_facts({"report": report})["report"]["regions"][0]["machines"]
    assert machine == {"logs": [shown or line], "message": "148e21ea7e46e8"}


MACAROON = f"fm2_{base64.b64encode(b'permission' * 4).decode()}"
JWT = "eyJhbGciOiJSUzI1NiJ9.eyJzdWIiOiJwZXJzb25hbCJ9.c2lnbmF0dXJl"
CREDENTIALS: dict[str, tuple[str, Any, str]] = {
    "a token of an app": ("apps.create_deploy_token", {"token": f"FlyV1 {MACAROON},{MACAROON}"}, MACAROON),
    "a token for keys": ("tokens.kms", f"{MACAROON}\n", MACAROON),
    "a token for keys of another form": ("tokens.kms", "hush-hush-hush", "hush"),
    "a token of a machine": ("tokens.oidc", JWT, JWT),
    "verified tokens": ("tokens.authenticate", [{"header": MACAROON, "permission_token": [104, 117, 115]}], "104"),
    "a verified token": ("tokens.authorize", {"verified_token": {"header": MACAROON}}, MACAROON),
    "values of secrets": ("secrets.list", {"secrets": [{"name": "A", "value": "hush-hush"}]}, "hush"),
    "the value of a secret": ("secrets.get", {"name": "A", "value": "hush-hush"}, "hush"),
    "what was decrypted": ("secret_keys.decrypt", {"plaintext": "aHVzaA=="}, "aHVzaA"),
    "what was encrypted": ("secret_keys.encrypt", {"ciphertext": "aHVzaA=="}, "aHVzaA"),
    "a signature": ("secret_keys.sign", {"signature": "aHVzaA=="}, "aHVzaA"),
    "a nonce": ("leases.get", {"data": {"nonce": "hush-hush"}}, "hush"),
    "a nonce in a list": ("machines.list", [{"id": "m1", "nonce": "hush-hush"}], "hush"),
    "output": ("machines.exec", {"stdout": "hush-hush", "stderr": "hush"}, "hush"),
    "commands": ("machines.ps", [{"command": "run --password hush"}], "hush"),
    "the password of a user": ("postgres.user_credentials", {"data": {"password": "hush-hush"}}, "hush"),
    "a new password of a user": ("postgres.rotate_password", {"data": {"password": "hush-hush"}}, "hush"),
    "queries with values": ("postgres.list_active_queries", {"data": [{"query": "SELECT 'hush'"}]}, "hush"),
    "patterns of queries": ("postgres.list_slow_queries", {"data": [{"query": "SELECT 'hush'"}]}, "hush"),
    "metadata": ("machines.metadata", {"api_key": "hush-hush"}, "hush"),
    "a value of metadata": ("machines.get_metadata", {"value": "hush-hush"}, "hush"),
    "a token in metadata": ("machines.metadata", {"note": f"made with {MACAROON}"}, MACAROON),
    "what a query returns": ("graphql", {"data": {"create": {"tokenHeader": "hush", "id": "x"}}}, "hush"),
    "a list of a query": ("graphql", {"data": {"wireGuard": {"peers": [{"conf": ["hush", "hush"]}]}}}, "hush"),
    "a URL of a query": ("graphql", {"data": {"addOn": {"publicName": "redis://u:hush@x"}}}, "hush"),
    "a token in an error": ("machines.create", {"error": f"{MACAROON} and {JWT} are not valid"}, MACAROON),
}  # fmt: skip


@pytest.mark.parametrize("name", CREDENTIALS)
def test_no_credential_of_any_response_is_kept(name: str) -> None:
    operation, body, credential = CREDENTIALS[name]
    found = json.dumps(Placeholders().in_response(operation, body))
    assert credential in json.dumps(body)
    assert credential not in found
    assert "redacted-1" in found


def test_a_token_that_is_the_whole_response_is_replaced_in_later_texts() -> None:
    placeholders = Placeholders()
    assert placeholders.in_response("tokens.kms", "hush-hush-hush\n") == "redacted-1"
    assert placeholders.in_text("hush-hush-hush is not valid") == "redacted-1 is not valid"
    assert placeholders.in_response("tokens.current", {"error": "no token"}) == {"error": "no token"}


def test_a_query_keeps_names_of_things_and_the_words_of_errors() -> None:
    placeholders = Placeholders()
    nodes = [{"id": "o1", "slug": "personal", "rawSlug": "me", "name": "Me", "type": "PERSONAL", "paidPlan": True}]
    organizations = {"data": {"organizations": {"nodes": nodes}}}
    assert placeholders.in_response("graphql", organizations) == organizations
    refused = {"errors": [{"message": "not found", "extensions": {"code": "NOT_FOUND"}}], "data": None}
    assert placeholders.in_response("graphql", refused) == refused
    assert placeholders.in_response("graphql", {"data": {"status": "succeeded"}}) == {"data": {"status": "redacted-1"}}
    assert placeholders.in_response("machines.get", {"state": "succeeded"}) == {"state": "succeeded"}


# What a model hides of its repr for its length, or because it may be anything: it is not a credential.
NOT_SECRET = {"extra", "request", "meta", "caveats", "kid", "rnd"}


def test_each_member_that_a_model_hides_is_a_placeholder() -> None:
    modules = [
        importlib.import_module(f"flyasync.models.{each.name}") for each in pkgutil.iter_modules(models.__path__)
    ]
    kinds = {each for module in modules for each in vars(module).values() if isinstance(each, type)}
    members = {field.name for kind in kinds if issubclass(kind, Model) for field in fields(kind) if not field.repr}
    assert members > NOT_SECRET
    for member in sorted(members - NOT_SECRET):
        assert Placeholders().in_response("machines.get", {member: "hush"}) != {member: "hush"}, member
