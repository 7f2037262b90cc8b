"""Options in groups: each is declared once, as a field of a class, and shown in the help under its group's title."""

from collections.abc import Mapping, Sequence
from inspect import get_annotations
from typing import Any, ClassVar, Self, dataclass_transform

import click

Groups = Mapping[str, Sequence[click.Option]]
"""Options by the titles of their groups, in the order of the help."""


class OptionalValueOption(click.Option):
    """An option whose value may be omitted: `--hedge` alone has the value `alone`."""

    def __init__(self, flags: Sequence[str], *, alone: str, **attributes: Any) -> None:
        super().__init__(flags, is_flag=False, flag_value=alone, **attributes)


def option(*flags: str, **attributes: Any) -> Any:
    """Declare a field of an option group, with the click option that fills it.

    The arguments are click's, and `alone` is the value of an option whose value may be omitted.
    """
    made = OptionalValueOption if "alone" in attributes else click.Option
    return made(list(flags), **attributes)


@dataclass_transform(frozen_default=True, kw_only_default=True, field_specifiers=(option,))
class Options:
    """A frozen value; a subclass declares its fields, and each has to be passed by keyword.

    It has no repr, since the values of --env and --metadata may be secret.
    """

    # Neither attrs nor a standard dataclass: importing the one, and compiling the other, would slow down --help.
    field_names: ClassVar[tuple[str, ...]] = ()
    """The names of its fields."""

    def __init_subclass__(cls) -> None:
        cls.field_names += tuple(get_annotations(cls))

    def __init__(self, **values: Any) -> None:
        if values.keys() != set(self.field_names):
            raise TypeError(f"{type(self).__name__} needs {', '.join(self.field_names)}, and has {', '.join(values)}")
        self.__dict__.update(values)

    def __eq__(self, other: object) -> bool:
        return type(other) is type(self) and self.__dict__ == other.__dict__

    def __hash__(self) -> int:
        return hash(tuple(self.__dict__[name] for name in self.field_names))

    def __setattr__(self, name: str, value: object) -> None:
        raise AttributeError(f"{type(self).__name__} is frozen")


class OptionGroup(Options):
    """The values of some options; a subclass declares them as fields, under click's names."""

    title = ""
    """The heading of its options in the help."""

    @classmethod
    def of(cls, params: Mapping[str, Any]) -> Self:
        """Return the values that click has parsed, one for each field."""
        return cls(**{name: params[name] for name in cls.field_names})

    @classmethod
    def options(cls) -> tuple[click.Option, ...]:
        """Return the options, in the order of the help."""
        return tuple(getattr(cls, name) for name in cls.field_names)


def titled(*groups: type[OptionGroup]) -> Groups:
    """Return the options of some groups by their titles."""
    return {group.title: group.options() for group in groups}


class GroupedCommand(click.Command):
    """A command that shows its options in groups; options without a group come last."""

    def __init__(self, *args: Any, groups: Groups, **more: Any) -> None:
        super().__init__(*args, **more)
        self.params += [each for options in groups.values() for each in options]
        self._groups = groups

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Parse the words of a command line; the argument is never taken as the value of an option without one."""
        for each in self.params:
            # A number is not confused with an argument.
            if isinstance(each, OptionalValueOption) and each.type is click.STRING and not ctx.resilient_parsing:
                args = self._argument_first(ctx, each, args)
        return super().parse_args(ctx, args)

    def _argument_first(self, ctx: click.Context, option: OptionalValueOption, args: list[str]) -> list[str]:
        """Return the words with the argument before an option which click would pass it to as the value.

        `--create-app web` has no other argument, so it means `web --create-app`; `web --create-app acme` has one, and
        `--create-app=acme` is unambiguous.
        """
        argument = next(each for each in self.params if isinstance(each, click.Argument))
        places = [place for place, word in enumerate(args[:-1]) if word in option.opts]
        if not places:
            return args
        parsed, _, _ = self.make_parser(ctx).parse_args(list(args))
        word = args[places[-1] + 1]
        if isinstance(parsed.get(argument.name or ""), str) or parsed.get(option.name or "") != word:
            return args
        return [word, *args[: places[-1] + 1], *args[places[-1] + 2 :]]

    def format_options(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the groups one after the other."""
        # Click adds --help by itself, and other options may be declared with decorators.
        shown = {each for options in self._groups.values() for each in options}
        others = [each for each in self.get_params(ctx) if isinstance(each, click.Option) and each not in shown]
        for title, params in {**self._groups, "Help": others}.items():
            records = [record for each in params if (record := each.get_help_record(ctx))]
            with formatter.section(title):
                formatter.write_dl(records)
