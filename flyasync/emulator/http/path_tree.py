"""The paths that are served, as a tree: finding one takes as many steps as it has parts, however many others exist."""

from collections.abc import Mapping
from typing import Generic, TypeVar

from attrs import Factory, define, frozen

T = TypeVar("T")


@frozen
class Route(Generic[T]):
    """The target of a method and path, and the names of the variable parts of the path by their position."""

    target: T
    names: Mapping[int, str]


@define
class PathTree(Generic[T]):
    """The paths that begin alike: the routes of the path that ends here, and the trees after each next part."""

    routes: dict[str, Route[T]] = Factory(dict)
    fixed: dict[str, "PathTree[T]"] = Factory(dict)
    variable: "PathTree[T] | None" = None

    def add(self, method: str, path: str, target: T) -> None:
        """Add a path such as `/v1/apps/{app_name}`, in which `{app_name}` stands for any text."""
        tree, names = self, {}
        for position, part in enumerate(path.split("/")):
            if not part.startswith("{"):
                tree = tree.fixed.setdefault(part, PathTree())
                continue
            names[position] = part.strip("{}")
            if tree.variable is None:
                tree.variable = PathTree()
            tree = tree.variable
        tree.routes[method] = Route(target, names)

    def find(self, method: str, path: str) -> tuple[T, Mapping[str, str]] | None:
        """Return the target of a method and path, and the values of the variable parts; None if it is not served.

        In the path, `%2F` and `%25` are not decoded yet.
        """
        parts = path.split("/")
        route = self.route(parts, 0, method)
        if route is None:
            return None
        return route.target, {name: _decoded(parts[position]) for position, name in route.names.items()}

    def knows(self, path: str) -> bool:
        """Whether any method of a path is served."""
        return self.route(path.split("/"), 0, None) is not None

    def route(self, parts: list[str], position: int, method: str | None) -> Route[T] | None:
        """Return the route of the parts of a path from a position on; without a method, that of any method."""
        if position == len(parts):
            return next(iter(self.routes.values()), None) if method is None else self.routes.get(method)
        part = parts[position]
        # A fixed part can also be a value, such as that of an app with the name `placements`.
        fixed = self.fixed.get(part)
        found = None if fixed is None else fixed.route(parts, position + 1, method)
        if found is None and part and self.variable is not None:
            return self.variable.route(parts, position + 1, method)
        return found


def _decoded(part: str) -> str:
    return part.replace("%2F", "/").replace("%25", "%") if "%" in part else part
