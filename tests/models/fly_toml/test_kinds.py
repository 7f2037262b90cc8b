"""The JSON of a machine and a fly.json are told apart by their keys."""

from typing import Any

import pytest

from flyasync.errors import InvalidInput
from flyasync.models.fly_toml.kinds import machine_config_in


@pytest.mark.parametrize(
    "document",
    [
        {"app": "web"},
        {"http_service": {}},
        {"vm": []},
        {"app": "web", "config": {"image": "nginx"}},
        {"env": {"A": "b"}},
    ],
)
def test_a_fly_json(document: dict[str, Any]) -> None:
    assert machine_config_in(document, "fly.staging.json") is None


@pytest.mark.parametrize(
    "document", [{"image": "nginx"}, {"guest": {}, "env": {}}, {"init": {}, "services": []}, {"auto_destroy": True}]
)
def test_a_machine_config(document: dict[str, Any]) -> None:
    assert machine_config_in(document, "fly.json") == document
    assert machine_config_in({"id": "1", "config": document}, "fly.json") == document


def test_keys_that_both_have_are_decided_by_the_name() -> None:
    assert machine_config_in({"env": {}}, "fly.json") is None
    assert machine_config_in({"env": {}}, "machine.json") == {"env": {}}


def test_keys_of_both_are_refused_with_their_names() -> None:
    with pytest.raises(InvalidInput, match=r"keys of a fly.json \(app\) and keys of a machine config \(guest, image\)"):
        machine_config_in({"app": "web", "image": "nginx", "guest": {}}, "fly.json")
