"""The options of a benchmark that has a command of its own."""

import argparse
from typing import Any


def options(about: str | None, **defaults: Any) -> argparse.Namespace:
    """Read an option for each of these names from the command line; it has its default's type, and False is a flag.

    One with a type instead of a default, such as `Path`, must be given.
    """
    parser = argparse.ArgumentParser(description=about, formatter_class=argparse.RawDescriptionHelpFormatter)
    for name, default in defaults.items():
        kind: dict[str, Any] = {"default": default, "type": type(default)}
        if default is False:
            kind = {"action": "store_true"}
        elif isinstance(default, type):
            kind = {"type": default, "required": True}
        parser.add_argument(f"--{name.replace('_', '-')}", **kind)
    return parser.parse_args()
