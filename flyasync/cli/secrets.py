"""`flyasync secrets`: secret values in the environment of an app's machines, which no command shows."""

import sys
from collections.abc import Mapping
from typing import TYPE_CHECKING

import click

from flyasync.cli.secrets_deploy import command as deploy
from flyasync.cli.shared.client import answered, api_command, in_json
from flyasync.cli.shared.command_group import Group
from flyasync.cli.shared.option_types import contents, text_of
from flyasync.cli.shared.output import CommandOutput, Message, Table
from flyasync.cli.shared.parameters import app_argument

if TYPE_CHECKING:
    from flyasync.api.client import FlyClient
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

Values are never passed as arguments, because the shell history and other users could see them. No command prints a
value.
"""

command = Group("secrets", help="List, set, unset and deploy the secrets of an app.", epilog=EPILOG)
command.add_command(deploy)


@command.command("list")
@app_argument
@api_command
async def list_(fly: "FlyClient", *, app: str) -> CommandOutput:
    """List the secrets of APP.

    Shows names and digests, never values.
    """
    from attrs import evolve

    # The API returns values only on request, and none is printed in any case.
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
    help="Set all secrets of a .env file, with a NAME=VALUE on each line.",
)
@in_json
def set_(*, app: str, names: tuple[str, ...], lines: str | None, as_json: bool) -> None:
    """Set a secret of APP.

    The value is read from standard input, or prompted for without showing it.

    Machines get it when they next start or are updated; `flyasync secrets deploy APP` updates them.
    """
    # The prompt runs outside the event loop: it waits for the user, and Ctrl-C aborts it.
    store(app=app, values=read_values(names, lines), as_json=as_json)


@api_command
async def store(fly: "FlyClient", *, app: str, values: Mapping[str, str]) -> CommandOutput:
    """Set secrets of an app."""
    return _updated(f"{app}: set {', '.join(values)}", await fly.secrets.update(app, values))


def read_values(names: tuple[str, ...], lines: str | None) -> dict[str, str]:
    """Return the secrets to set: those of a file, or one that is typed or piped; raises UsageError."""
    if lines is not None:
        if names:
            raise click.UsageError("--from-env-file contains the names, so it cannot be combined with NAME")
        from flyasync.cli.shared.env_file import read

        return read(lines)
    # The arguments may contain a secret, so the error does not show them.
    if len(names) != 1 or "=" in names[0]:
        raise click.UsageError("expected one NAME and no value: the value is read from standard input or prompted for")
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
@api_command
async def unset(fly: "FlyClient", *, app: str, names: tuple[str, ...]) -> CommandOutput:
    """Remove secrets from APP.

    A secret that does not exist is not an error.
    """
    # One request creates one version; null removes a secret.
    done = await fly.secrets.update(app, dict.fromkeys(names))
    return _updated(f"{app}: unset {', '.join(names)}", done)


def _updated(text: str, done: "SecretsUpdate") -> Message:
    """Return the result without values, which the response may contain."""
    from attrs import evolve

    shown = evolve(done, secrets=[evolve(secret, value=None) for secret in done.secrets or ()])
    return Message(
        f"{text} (version {done.version}); machines get it when they next start or are updated; "
        "to update them now: flyasync secrets deploy",
        shown,
    )
