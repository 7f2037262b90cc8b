"""Serving an emulator for `flyasync emulator`: until Ctrl-C, or for as long as one command runs."""

import asyncio
import os
from collections import Counter
from collections.abc import Awaitable, Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, TextIO

import click

from flyasync.api.client import FlyClient
from flyasync.cli.emulator_import import WorldCopy, read_world
from flyasync.cli.shared.client import note_stopping, show_api
from flyasync.cli.shared.exit_codes import OK, CommandFailed
from flyasync.cli.shared.output import note
from flyasync.cli.shared.signals import run, until_signalled
from flyasync.emulator.server import Emulator
from flyasync.emulator.state.codec import WorldError
from flyasync.errors import InvalidInput

CONTROL = (
    "open {url}/ in a browser, or use {url}/_emulator/: GET log, GET counts, GET or POST or DELETE faults, "
    "POST capacity, "
    "GET or POST or DELETE commands, POST host_status, POST crash, POST images, GET or POST world, GET overview, "
    "GET reach?app=APP, POST request?app=APP, POST reset"
)


def create(arguments: Mapping[str, Any], imported: tuple[str, ...]) -> Emulator:
    """Create an emulator with these arguments, and with copies of real apps."""
    with _explained():
        emulator = Emulator(**arguments)
    # After the other options have been checked, since this sends requests.
    if imported:
        copy = read_copy(imported)
        with _explained():
            emulator = Emulator.from_world(copy.document, **arguments)
    return emulator


@contextmanager
def _explained() -> Iterator[None]:
    try:
        yield
    except (WorldError, ImportError) as error:
        raise CommandFailed(str(error)) from error
    except ValueError as error:
        raise InvalidInput(str(error)) from error


def read_copy(apps: tuple[str, ...]) -> WorldCopy:
    """Read real apps with the token of the environment, and report what was copied."""
    copies: list[WorldCopy] = []

    async def read() -> int:
        async with FlyClient() as fly:
            show_api(fly)
            copies.append(await read_world(fly, apps))
        return OK

    if exit_code := run(until_signalled(read(), note_stopping)):
        raise click.exceptions.Exit(exit_code)
    (copy,) = copies
    note(str(copy))
    return copy


async def start(emulator: Emulator, port: int, err: TextIO) -> None:
    """Start the emulator, and write its warnings; raises CommandFailed for a port or state file that is in use."""
    try:
        await emulator.start()
    except ValueError as error:
        raise CommandFailed(str(error)) from error
    except OSError as error:
        # The text of asyncio's error is long, and contains the address.
        reason = os.strerror(error.errno) if error.errno else str(error)
        raise CommandFailed(
            f"cannot listen on port {port}: {reason}; use another --port, or 0 for a free one"
        ) from error
    err.writelines(f"flyasync: warning: {text}\n" for text in emulator.warnings)
    err.flush()


async def serve(
    emulator: Emulator,
    port: int,
    out: TextIO,
    err: TextIO,
    shown: Callable[[Mapping[str, str]], str],
) -> int:
    """Print the environment variables, and serve until cancelled; raises CommandFailed for a port in use."""
    await start(emulator, port, err)
    try:
        # A shell can evaluate stdout; all other lines go to stderr.
        out.write(shown(emulator.environment()))
        out.flush()
        err.write(f"flyasync: the emulator is running; Ctrl-C stops it\nflyasync: {CONTROL.format(url=emulator.url)}\n")
        err.flush()
        await asyncio.Event().wait()
    finally:
        await emulator.stop()
    return OK


async def serve_while(
    emulator: Emulator, port: int, inside: Callable[[Mapping[str, str]], Awaitable[int]], err: TextIO
) -> int:
    """Serve while a program runs with the environment variables, and return its exit code."""
    await start(emulator, port, err)
    try:
        code = await inside(emulator.environment())
        if missing := emulator.not_served():
            err.write(f"flyasync: not served by the emulator: {_counted(missing)}\n")
        refused = Counter[str]()
        for (action, _), count in emulator.refused_by_limit().items():
            refused[action] += count
        if refused:
            err.write(
                f"flyasync: refused by the rate limits: {_counted(refused)}; for a program that does not repeat such "
                "requests, as flyctl does not, use --latency 0.35:0.5 or --no-limits\n"
            )
        return code
    finally:
        await emulator.stop()


def _counted(names: Mapping[str, int]) -> str:
    return ", ".join(f"{name} ({count} times)" if count > 1 else name for name, count in names.items())
