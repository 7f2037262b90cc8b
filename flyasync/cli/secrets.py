"""`flyasync secrets`: values in the environment of an app's machines that no command shows."""

import sys
from collections.abc import Mapping

import click
from attrs import evolve

from flyasync.api.client import FlyClient
from flyasync.cli.secrets_deploy import command as deploy
from flyasync.cli.shared.client import answered, asks, in_json
from flyasync.cli.shared.command_group import Group
from flyasync.cli.shared.env_file import read
from flyasync.cli.shared.option_types import contents, text_of
from flyasync.cli.shared.output import CommandOutput, Message, Table
from flyasync.cli.shared.parameters import app_argument
from flyasync.models.secret import SecretsUpdate

COLUMNS = {"NAME": "name", "DIGEST": "digest", "CREATED": "created_at", "UPDATED": "updated_at"}

EPILOG = """\b
Examples:
  # ask for the value without showing it, or read it from a pipe
  flyasync secrets set web DATABASE_URL
  pass show web/database | flyasync secrets set web DATABASE_URL
\b
  # set many, and update the machines that may have started with older values
  flyasync secrets set web --from-env-file .env
  flyasync secrets deploy web

A value is never an argument, which the shell's history and other users could show, and no command prints it.
"""

command = Group("secrets", help="List, set, unset and deploy the secrets of an app.", epilog=EPILOG)
command.add_command(deploy)


@command.command("list")
@app_argument
@asks
async def list_(fly: FlyClient, *, app: str) -> CommandOutput:
    """List the secrets of APP.

    Their names and digests, never the values.
    """
    # The API shows values only when asked to. Whatever it sends, none is printed.
    return Table([evolve(secret, value=None) for secret in await fly.secrets.list(app)], COLUMNS)


@command.command("set")
@app_argument
@click.argument("names", metavar="[NAME]", nargs=-1)
@click.option(
    "--from-env-file",
    "lines",
    type=click.File(encoding="utf-8"),
    callback=contents,
    metavar="FILE|-",
    help="Set many: a .env file, with a NAME=VALUE on each line.",
)
@in_json
def set_(*, app: str, names: tuple[str, ...], lines: str | None, as_json: bool) -> None:
    """Set a secret of APP.

    Its value is read from standard input, or asked for without showing it.

    Machines see it when they are started or updated next; `flyasync secrets deploy APP` updates them.
    """
    # The value is asked for outside the event loop: the question waits for a person, and Ctrl-C is its answer.
    store(app=app, values=read_values(names, lines), as_json=as_json)


@asks
async def store(fly: FlyClient, *, app: str, values: Mapping[str, str]) -> CommandOutput:
    """Set secrets of an app."""
    return _updated(f"{app}: set {', '.join(values)}", await fly.secrets.update(app, values))


def read_values(names: tuple[str, ...], lines: str | None) -> dict[str, str]:
    """Return the secrets to set: of a file, or one whose value is typed or piped; raises UsageError."""
    if lines is not None:
        if names:
            raise click.UsageError("--from-env-file names the secrets itself, so no NAME can go with it")
        return read(lines)
    # What else was given may be a secret, so it is not repeated.
    if len(names) != 1 or "=" in names[0]:
        raise click.UsageError("give one NAME and no value: the value is read from standard input, or asked for")
    if sys.stdin.isatty():
        value = str(answered(lambda: click.prompt(f"Value of {names[0]}", hide_input=True, err=True)))
    else:  # without the line break that `echo` writes
        value = text_of(sys.stdin).removesuffix("\n").removesuffix("\r")
    if not value:
        raise click.UsageError("the value is empty, so nothing was set")
    return {names[0]: value}


@command.command("unset")
@app_argument
@click.argument("names", metavar="NAME...", nargs=-1, required=True)
@asks
async def unset(fly: FlyClient, *, app: str, names: tuple[str, ...]) -> CommandOutput:
    """Take secrets from APP.

    One that is not there is no error.
    """
    # One request for all of them, so one version; null removes a secret.
    done = await fly.secrets.update(app, dict.fromkeys(names))
    return _updated(f"{app}: unset {', '.join(names)}", done)


def _updated(text: str, done: SecretsUpdate) -> Message:
    """Return what has changed; the API's answer may hold values, which are left out."""
    shown = evolve(done, secrets=[evolve(secret, value=None) for secret in done.secrets or ()])
    return Message(
        f"{text} (version {done.version}); machines see it when they are started or updated next, "
        "or by: flyasync secrets deploy",
        shown,
    )
