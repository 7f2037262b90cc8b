"""What the client logs while a command waits, shown to the person at the command line."""

import logging
import sys

import click

from flyasync.cli.shared.streams import sturdy

LOGS = {"flyasync.limits": logging.WARNING, "flyasync.refusals": logging.INFO}
"""What is written, by the level of the notes that are meant for people."""


class Notes(logging.Handler):
    """Writes to stderr what becomes of limits, and which refusals are outlasted."""

    def emit(self, record: logging.LogRecord) -> None:
        """Write one line."""
        click.echo(f"flyasync: {record.getMessage()}", file=sturdy(sys.stderr))


def show_notes() -> None:
    """Have them written from now on."""
    for name, level in LOGS.items():
        log = logging.getLogger(name)
        if not any(isinstance(handler, Notes) for handler in log.handlers):
            log.addHandler(Notes(level))
        if not log.isEnabledFor(level):
            log.setLevel(level)
