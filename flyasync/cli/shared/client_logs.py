"""Log lines of the client, written to stderr while a command waits."""

import logging
import sys

import click

from flyasync.cli.shared.streams import sturdy

LOGS = {"flyasync.limits": logging.WARNING, "flyasync.refusals": logging.INFO}
"""The loggers that are shown, with the lowest level that is shown."""


class StderrHandler(logging.Handler):
    """Writes log records to stderr: on rate limits, and on refusals that the client retries."""

    def emit(self, record: logging.LogRecord) -> None:
        """Write one line."""
        click.echo(f"flyasync: {record.getMessage()}", file=sturdy(sys.stderr))


def show_client_logs() -> None:
    """Show these logs from now on; a second call has no effect."""
    for name, level in LOGS.items():
        log = logging.getLogger(name)
        if not any(isinstance(handler, StderrHandler) for handler in log.handlers):
            log.addHandler(StderrHandler(level))
        # A more verbose level that the user has set stays.
        if not log.isEnabledFor(level):
            log.setLevel(level)
