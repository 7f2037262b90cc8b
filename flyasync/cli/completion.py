"""`flyasync completion`: the script that makes a shell complete commands, apps, machines and regions."""

import click
from click.shell_completion import get_completion_class

EPILOG = """\b
Installation:
  bash  eval "$(flyasync completion bash)"                               in ~/.bashrc
  zsh   eval "$(flyasync completion zsh)"                                in ~/.zshrc
  fish  flyasync completion fish > ~/.config/fish/completions/flyasync.fish

Apps, machines, volumes and regions are read from the API, within two seconds at most.
"""


@click.command("completion", epilog=EPILOG)
@click.argument("shell", type=click.Choice(["bash", "zsh", "fish"]))
@click.pass_context
def command(ctx: click.Context, /, *, shell: str) -> None:
    """Print the completion script for a shell."""
    complete = get_completion_class(shell)
    assert complete is not None  # noqa: S101 - click knows all three
    root = ctx.find_root()
    click.echo(complete(root.command, {}, "flyasync", "_FLYASYNC_COMPLETE").source())
