"""The options of a benchmark that has a command of its own."""

import argparse
import sys
from pathlib import Path
from typing import Any


def options(about: str | None, **defaults: Any) -> argparse.Namespace:
    """Read an option for each of these names from the command line; it has its default's type, and False is a flag.

    One with a type instead of a default, such as `Path`, must be given.
    """
    path, layout = Path(sys.argv[0]).with_suffix(""), argparse.RawDescriptionHelpFormatter
    command = f"python -m benchmarks.{path.parent.name if path.name == '__main__' else path.name}"
    parser = argparse.ArgumentParser(prog=command, description=about, formatter_class=layout)
    for name, default in defaults.items():
        kind: dict[str, Any] = {"default": default, "type": type(default)}
        if default is False:
            kind = {"action": "store_true"}
        elif isinstance(default, type):
            kind = {"type": default, "required": True}
        shown = "required" if isinstance(default, type) else f"default: {default!r}"
        parser.add_argument(f"--{name.replace('_', '-')}", help=shown, **kind)
    return parser.parse_args()
