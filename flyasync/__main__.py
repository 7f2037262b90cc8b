"""The command `flyasync`, as a script and as `python -m flyasync`."""

import os
import signal
import sys
from contextlib import suppress
from importlib import import_module
from importlib.util import find_spec
from io import TextIOWrapper
from typing import TextIO

INTERRUPTED = 130


def main() -> None:
    """Run the command line; without its packages, say in one line how to get them and exit with 2."""
    if any(find_spec(package) is None for package in ("click", "rich")):
        sys.exit(_say_what_is_missing())
    _open_what_is_closed()
    for stream in (sys.stdout, sys.stderr):
        # What the API says may hold letters that this terminal or file cannot; a deploy must not stumble over them.
        if isinstance(stream, TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")
    try:
        import_module("flyasync.cli.main").command(prog_name="flyasync")
    except KeyboardInterrupt:
        sys.exit(INTERRUPTED)
    except OSError as error:
        if error.errno not in import_module("flyasync.cli.shared.exit_codes").FULL:
            raise
        with suppress(OSError):
            sys.stderr.write(f"flyasync: the output could not be written: {error.strerror}\n")
        sys.exit(1)
    finally:
        _settle()


def _open_what_is_closed() -> None:
    """Stand in for streams that the shell has closed, as `>&-` does, so that no file or socket gets their numbers."""
    for name, mode in (("stdin", "r"), ("stdout", "w"), ("stderr", "w")):
        if getattr(sys, name) is None:
            setattr(sys, name, open(os.devnull, mode))  # noqa: PTH123, SIM115 - pathlib loads slowly; open to the end


def _settle() -> None:
    """Let nothing change the exit code while Python ends: no further signal, and no reader who is gone."""
    for name in ("SIGINT", "SIGTERM", "SIGHUP"):
        if hasattr(signal, name):
            signal.signal(getattr(signal, name), signal.SIG_IGN)
    for stream in (sys.stdout, sys.stderr):
        try:
            stream.flush()
        except OSError:
            _drop(stream)


def _drop(stream: TextIO) -> None:
    with suppress(OSError, ValueError), open(os.devnull, "w") as nowhere:  # noqa: PTH123 - pathlib loads slowly
        os.dup2(nowhere.fileno(), stream.fileno())


def _say_what_is_missing() -> int:
    sys.stderr.write("flyasync: the command line needs two more packages: pip install 'flyasync[cli]'\n")
    return 2


if __name__ == "__main__":
    main()
