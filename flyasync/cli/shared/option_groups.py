"""Options in groups: each is declared once, as a field of a class, and shown in the help under its group's title."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields
from typing import Any, ClassVar, Self, dataclass_transform

import click

Groups = Mapping[str, Sequence[click.Option]]
"""Options by the titles of their groups, in the order of the help."""


def option(*flags: str, **attributes: Any) -> Any:
    """Declare a field of an option group, with the click option that fills it; the arguments are click's."""
    return field(metadata={"option": click.Option(list(flags), **attributes)})


@dataclass_transform(frozen_default=True, kw_only_default=True, field_specifiers=(option,))
class OptionGroup:
    """The values of some options, as a frozen value; a subclass declares them as fields, under click's names.

    They have no repr, since the values of --env and --metadata may be secret.
    """

    title: ClassVar[str]

    def __init_subclass__(cls) -> None:
        # A standard dataclass: importing attrs would slow down --help.
        dataclass(frozen=True, kw_only=True, repr=False)(cls)

    @classmethod
    def of(cls, params: Mapping[str, Any]) -> Self:
        """Return the values that click has parsed, one for each field."""
        return cls(**{each.name: params[each.name] for each in fields(cls)})  # type: ignore[arg-type]

    @classmethod
    def options(cls) -> tuple[click.Option, ...]:
        """Return the options, in the order of the help."""
        return tuple(each.metadata["option"] for each in fields(cls))  # type: ignore[arg-type]


def titled(*groups: type[OptionGroup]) -> Groups:
    """Return the options of some groups by their titles."""
    return {group.title: group.options() for group in groups}


class GroupedCommand(click.Command):
    """A command that shows its options in groups; options without a group come last."""

    def __init__(self, *args: Any, groups: Groups, **more: Any) -> None:
        super().__init__(*args, **more)
        self.params += [each for options in groups.values() for each in options]
        self._groups = groups

    def format_options(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the groups one after the other."""
        # Click adds --help by itself, and other options may be declared with decorators.
        shown = {each for options in self._groups.values() for each in options}
        others = [each for each in self.get_params(ctx) if isinstance(each, click.Option) and each not in shown]
        for title, params in {**self._groups, "Help": others}.items():
            records = [record for each in params if (record := each.get_help_record(ctx))]
            with formatter.section(title):
                formatter.write_dl(records)
