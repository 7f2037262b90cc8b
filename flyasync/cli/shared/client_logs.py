"""What the client logs while a command waits, written to stderr."""

import logging
import sys

import click

from flyasync.cli.shared.streams import sturdy

LOGS = {"flyasync.limits": logging.WARNING, "flyasync.refusals": logging.INFO}
"""The loggers that are shown, and from which level on they speak to people."""


class StderrHandler(logging.Handler):
    """Writes to stderr what becomes of limits, and which refusals the client waits out."""

    def emit(self, record: logging.LogRecord) -> None:
        """Write one line."""
        click.echo(f"flyasync: {record.getMessage()}", file=sturdy(sys.stderr))


def show_client_logs() -> None:
    """Write these logs from now on; calling it twice does not write them twice."""
    for name, level in LOGS.items():
        log = logging.getLogger(name)
        if not any(isinstance(handler, StderrHandler) for handler in log.handlers):
            log.addHandler(StderrHandler(level))
        # A user who has made the log more talkative keeps that.
        if not log.isEnabledFor(level):
            log.setLevel(level)
