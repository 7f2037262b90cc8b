"""The options of a benchmark that has a command of its own."""

import argparse
from typing import Any


def options(about: str | None, **defaults: Any) -> argparse.Namespace:
    """Read an option for each of these names from the command line; it has its default's type, and False is a flag."""
    parser = argparse.ArgumentParser(description=about, formatter_class=argparse.RawDescriptionHelpFormatter)
    for name, default in defaults.items():
        kind: dict[str, Any] = {"action": "store_true"} if default is False else {"type": type(default)}
        parser.add_argument(f"--{name.replace('_', '-')}", default=default, **kind)
    return parser.parse_args()
