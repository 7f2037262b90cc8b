"""The command group; the module of a command is imported only when that command is called."""

import sys
from importlib import import_module
from typing import Any

import click
from click.shell_completion import CompletionItem

from flyasync.cli.shared.actions import is_in_actions
from flyasync.cli.shared.command_group import Group
from flyasync.cli.shared.exit_codes import INTERRUPTED, CommandFailed, WrongInput, code_after_losses, failure
from flyasync.cli.shared.streams import sturdy
from flyasync.errors import FlyError

# The help shows these without importing the commands, which are slow to load.
SUMMARIES = {
    "deploy": "Deploy one image to many regions at once, and report what runs where.",
    "apply": "Execute a plan that deploy --dry-run --out has written to a file.",
    "replay": "Run a recorded deploy again on an emulator, and compare the reports.",
    "bulk": "Deploy to many apps, one for each row of a file, and report what failed and why.",
    "scale": "Change how many machines the groups of an app have, or their size.",
    "destroy": "Destroy the machines of one launch, and no others.",
    "status": "Show the groups, machines, addresses and volumes of an app.",
    "watch": "Serve a live page of an app: a map with the state of each machine.",
    "logs": "Write the log of an app, of one machine, region or group of it.",
    "releases": "List the releases of an app: when, by whom, and what became of them.",
    "diff": "Show how the machines of an app differ from one another, and from a file.",
    "orphans": "List what an organization pays for and nothing uses.",
    "apps": "Create, list, show and destroy apps.",
    "machines": "Create, inspect, change and destroy machines.",
    "pool": "Show, refill and drain the pools of machines on demand of an app.",
    "volumes": "Create, list, extend and destroy volumes.",
    "secrets": "List, set, unset and deploy the secrets of an app.",
    "certificates": "Add, check and remove hostnames and their certificates.",
    "ips": "List, allocate and release the addresses of an app.",
    "regions": "List the regions where machines can run.",
    "tokens": "Show the token in use, and create deploy tokens.",
    "lint": "Check a machine config or a fly.toml for errors and risks.",
    "emulator": "Serve a local Machines API that needs no account.",
    "completion": "Print the completion script for bash, zsh or fish.",
}

MODULES = {
    "deploy": "flyasync.cli.deploy.command",
    "apply": "flyasync.cli.deploy.apply",
    "replay": "flyasync.cli.replay",
    "bulk": "flyasync.cli.bulk.command",
    "scale": "flyasync.cli.scale",
    "destroy": "flyasync.cli.destroy",
    "status": "flyasync.cli.oncall.status",
    "watch": "flyasync.cli.oncall.watch_page",
    "logs": "flyasync.cli.oncall.logs",
    "releases": "flyasync.cli.oncall.releases",
    "diff": "flyasync.cli.oncall.diff",
    "orphans": "flyasync.cli.oncall.orphans",
    "apps": "flyasync.cli.apps",
    "machines": "flyasync.cli.machines.command",
    "pool": "flyasync.cli.pool",
    "volumes": "flyasync.cli.volumes",
    "secrets": "flyasync.cli.secrets",
    "certificates": "flyasync.cli.certificates",
    "ips": "flyasync.cli.ips",
    "regions": "flyasync.cli.regions",
    "tokens": "flyasync.cli.tokens",
    "lint": "flyasync.cli.lint",
    "emulator": "flyasync.cli.emulator",
    "completion": "flyasync.cli.completion",
}


_AS_JSON = "flyasync.as_json"
_IN_ACTIONS = "flyasync.in_actions"


class Commands(Group):
    """The commands by name; their summaries are known without importing them."""

    def list_commands(self, _ctx: click.Context) -> list[str]:
        """Return the names of the commands."""
        return list(SUMMARIES)

    def get_command(self, _ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Import the command of this name; return None for an unknown name."""
        if cmd_name not in SUMMARIES:
            return None
        command: click.Command = import_module(MODULES[cmd_name]).command
        return command

    def format_commands(self, _ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the list of commands."""
        with formatter.section("Commands"):
            formatter.write_dl(list(SUMMARIES.items()))

    def shell_complete(self, ctx: click.Context, incomplete: str) -> list[CompletionItem]:
        """Return the commands without importing them."""
        found = [CompletionItem(name, help=text) for name, text in SUMMARIES.items() if name.startswith(incomplete)]
        return found or super().shell_complete(ctx, incomplete)

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Parse the command line."""
        # A command line that cannot be parsed also gets its error as JSON if it contains --json. Arguments after a
        # double dash are those of another command.
        own = args[: args.index("--")] if "--" in args else args
        ctx.meta[_AS_JSON] = "--json" in own
        ctx.meta[_IN_ACTIONS] = next((each == "--github" for each in own[::-1] if each.endswith("-github")), None)
        try:
            return super().parse_args(ctx, args)
        except KeyboardInterrupt:
            raise click.exceptions.Exit(INTERRUPTED) from None

    def invoke(self, ctx: click.Context) -> Any:
        """Run a command, and set the exit code.

        1. The command has an exit code of its own. It changes only if a part of stdout was lost.
        2. The command fails with an error for the user: one line on stderr, and with --json an object on stdout. In
           GitHub Actions it is annotated too.
        3. Ctrl-C arrives while no event loop runs that would turn it into a cancellation.
        4. Any other exception is a bug, and keeps its traceback.
        """
        try:
            return super().invoke(ctx)
        except click.exceptions.Exit as over:
            raise click.exceptions.Exit(code_after_losses(ctx, over.exit_code)) from None
        except (FlyError, RecursionError, click.ClickException) as error:
            if isinstance(error, click.ClickException):
                end = error
            elif isinstance(error, FlyError):
                end = failure(error)
            else:
                end = WrongInput("the input is nested too deeply")
            if ctx.meta[_AS_JSON]:
                kind = error.kind if isinstance(error, CommandFailed) else type(error).__name__
                message = " ".join(end.format_message().split())
                import json

                document = {"event": "error", "kind": kind, "message": message, "exit": end.exit_code}
                click.echo(json.dumps(document), file=sturdy(sys.stdout))
            if is_in_actions(ctx.meta[_IN_ACTIONS]):
                from flyasync.cli.github.job import GitHubJob  # only a job needs it

                GitHubJob.of(sturdy(sys.stderr)).failed(end.format_message())
            raise end from (None if end is error else error)
        except KeyboardInterrupt:
            raise click.exceptions.Exit(INTERRUPTED) from None


@click.group(
    cls=Commands,
    context_settings={"help_option_names": ["-h", "--help"]},
    epilog="""\b
Examples:
  # rehearse a deploy on this machine: no account, no cost
  flyasync deploy web --image nginx --region iad,lhr,nrt --local
\b
  # deploy; where a region is full, use the nearest one with room
  flyasync deploy web --image nginx:1.28 --region iad,lhr,nrt \\
      --fallback nearest
\b
  # update the machines to a new image, a few at a time; undo that release
  flyasync deploy web --image nginx:1.29
  flyasync deploy web --undo
\b
  # add a machine beside the others, and destroy it again
  flyasync deploy web --image nginx --region iad --add --launch test
  flyasync destroy web --launch test
\b
  # list the machines: a table in a terminal, tabs in a pipe, or JSON
  flyasync machines list web --json
\b
  # serve a local API for flyctl, for your tests or for any other client
  flyasync emulator

The token is read from FLY_ACCESS_TOKEN, FLY_API_TOKEN, or flyctl's config.yml. If other programs call the API for the
same apps, set FLYASYNC_LIMITS=file or FLYASYNC_LIMITS=redis://HOST:PORT/DB, so that all of them share the rate limits.
Each command has its own --help.
""",
)
@click.version_option(package_name="flyasync", message="flyasync %(version)s")
def command() -> None:
    """Deploy to Fly.io Machines in many regions at once, and report what runs where."""
