"""Placeholders: equal for equal values, in every place in which a value may be secret, and nowhere else."""

import base64

from flyasync.api.placeholders import Placeholders

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
    assert placeholders.in_response("logs.read", {"data": [{"attributes": {"message": "boot"}}]}) == {
        "data": [{"attributes": {"message": "redacted-2"}}]
    }


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
