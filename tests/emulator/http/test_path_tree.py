"""Paths are found by their parts, and variable parts are decoded."""

import pytest

from flyasync.emulator.http.path_tree import PathTree

TREE = PathTree[str]()
TREE.add("GET", "/v1/apps/{app}", "app")
TREE.add("GET", "/v1/apps/{app}/machines/{id}", "machine")
TREE.add("POST", "/v1/apps/{app}/certificates/acme", "acme")
TREE.add("GET", "/v1/apps/{app}/certificates/{hostname}", "certificate")


@pytest.mark.parametrize(
    ("method", "path", "target", "values"),
    [
        ("GET", "/v1/apps/web", "app", {"app": "web"}),
        ("GET", "/v1/apps/web/machines/1", "machine", {"app": "web", "id": "1"}),
        ("POST", "/v1/apps/web/certificates/acme", "acme", {"app": "web"}),
        ("GET", "/v1/apps/web/certificates/acme", "certificate", {"app": "web", "hostname": "acme"}),
        ("GET", "/v1/apps/a%2Fb%252F", "app", {"app": "a/b%2F"}),
    ],
)
def test_a_path_has_its_target_and_the_values_of_its_variable_parts(
    method: str, path: str, target: str, values: dict[str, str]
) -> None:
    assert TREE.find(method, path) == (target, values)


@pytest.mark.parametrize("path", ["", "/", "/v1/apps", "/v1/apps/", "/v1/apps/web/", "/v1/apps/web/machines/1/x", "v1"])
def test_another_path_is_not_served_by_any_method(path: str) -> None:
    assert TREE.find("GET", path) is None
    assert not TREE.knows(path)


def test_a_path_without_the_method_is_known() -> None:
    assert TREE.find("DELETE", "/v1/apps/web") is None
    assert TREE.knows("/v1/apps/web")
