"""Command groups: listed in the order of declaration, with a suggestion for a typo."""

import click


class Group(click.Group):
    """Commands by name."""

    def list_commands(self, _ctx: click.Context) -> list[str]:
        """Return the names of the commands."""
        return list(self.commands)

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """Return the command that `args` start with; fail with a suggestion for a typo."""
        # During shell completion, an incomplete word is not a typo.
        names = self.list_commands(ctx)
        if args[0] in names or ctx.resilient_parsing:
            return super().resolve_command(ctx, args)
        from difflib import get_close_matches  # only a typo needs it

        if close := get_close_matches(args[0], names, n=1, cutoff=0.7):
            ctx.fail(f"No such command {args[0]!r}. Did you mean {close[0]!r}?")
        return super().resolve_command(ctx, args)
