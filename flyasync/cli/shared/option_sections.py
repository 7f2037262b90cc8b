"""Help with the options in sections, each under its title."""

from collections.abc import Mapping, Sequence
from typing import Any

import click

Sections = Mapping[str, Sequence[click.Option]]


def option(*names: str, **what: Any) -> click.Option:
    """Make an option, as the decorator of click does."""
    return click.Option(list(names), **what)


class Sectioned(click.Command):
    """A command whose options are shown in sections; those in none come last."""

    def __init__(self, *args: Any, sections: Sections, **more: Any) -> None:
        super().__init__(*args, **more)
        self.params += [each for options in sections.values() for each in options]
        self._sections = sections

    def format_options(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the sections one after the other."""
        shown = {each for options in self._sections.values() for each in options}
        others = [each for each in self.get_params(ctx) if isinstance(each, click.Option) and each not in shown]
        for title, params in {**self._sections, "Help": others}.items():
            records = [record for each in params if (record := each.get_help_record(ctx))]
            with formatter.section(title):
                formatter.write_dl(records)
