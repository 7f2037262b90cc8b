"""The command `flyasync`, as a script and as `python -m flyasync`."""

import sys
from importlib import import_module
from importlib.util import find_spec
from io import TextIOWrapper


def main() -> None:
    """Run the command line; without its packages, say in one line how to get them and exit with 2."""
    if any(find_spec(package) is None for package in ("click", "rich")):
        sys.exit(_say_what_is_missing())
    for stream in (sys.stdout, sys.stderr):
        # What the API says may hold letters that this terminal or file cannot; a deploy must not stumble over them.
        if isinstance(stream, TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")
    import_module("flyasync.cli.main").command(prog_name="flyasync")


def _say_what_is_missing() -> int:
    sys.stderr.write("flyasync: the command line needs two more packages: pip install 'flyasync[cli]'\n")
    return 2


if __name__ == "__main__":
    main()
