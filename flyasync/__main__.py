"""The command `flyasync`, as a script and as `python -m flyasync`."""

import os
import signal
import sys
from contextlib import suppress
from importlib import import_module
from importlib.util import find_spec
from io import TextIOWrapper

INTERRUPTED = 130


def main() -> None:
    """Run the command. If its packages are missing, print how to install them, and exit with 2."""
    if any(find_spec(package) is None for package in ("click", "rich")):
        sys.stderr.write("flyasync: the command needs the extra cli: pip install 'flyasync[cli]'\n")
        sys.exit(2)
    # Streams that the shell has closed (`>&-`) are replaced, so that no file or socket gets their descriptors.
    for name, mode in (("stdin", "r"), ("stdout", "w"), ("stderr", "w")):
        if getattr(sys, name) is None:
            setattr(sys, name, open(os.devnull, mode))  # noqa: PTH123, SIM115 - pathlib loads slowly; open to the end
    # Responses may contain characters that this terminal or file cannot encode. No deploy may fail because of one.
    for stream in (sys.stdout, sys.stderr):
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


def _settle() -> None:
    """Keep signals and closed output streams from changing the exit code while Python exits."""
    for name in ("SIGINT", "SIGTERM", "SIGHUP"):
        if hasattr(signal, name):
            signal.signal(getattr(signal, name), signal.SIG_IGN)
    for stream in (sys.stdout, sys.stderr):
        try:
            stream.flush()
        except OSError:
            # The rest of the buffer is discarded, or Python's own flush at exit would fail again.
            with suppress(OSError, ValueError), open(os.devnull, "w") as nowhere:  # noqa: PTH123 - as above
                os.dup2(nowhere.fileno(), stream.fileno())


if __name__ == "__main__":
    main()
