"""What becomes of limits that are shared, told to the person at the command line."""

import logging

import click


class LimitsNotes(logging.Handler):
    """Writes what the client logs of them to stderr."""

    def emit(self, record: logging.LogRecord) -> None:
        """Write one line."""
        click.echo(f"flyasync: {record.getMessage()}", err=True)


def show_limits_notes() -> None:
    """Have them written from now on."""
    log = logging.getLogger("flyasync.limits")
    if not any(isinstance(handler, LimitsNotes) for handler in log.handlers):
        log.addHandler(LimitsNotes())
