"""The texts of events and reports in the terms of the command `flyasync`, instead of those of Python; pure."""

from typing import Any, TypeVar

from attrs import evolve, fields, has

from flyasync.deploy.plan.notes import Remark
from flyasync.deploy.reporting.events import Progress
from flyasync.deploy.reporting.phase import Moment
from flyasync.deploy.reporting.result import Failure

T = TypeVar("T")


def in_command_terms(value: T) -> T:
    """Return an event or a report in which each text that has a wording `for_command` is replaced by it.

    The command calls it once for each event and report that it receives, before it shows anything of it: all output,
    as lines, JSON or a page, then names options and commands instead of methods and parameters.
    """
    return _converted(value)  # type: ignore[no-any-return]


def _converted(value: Any) -> Any:
    match value:
        case Failure(for_command=str(text)):
            return evolve(value, message=text, for_command=None)
        case Moment(for_command=str(text)) | Progress(for_command=str(text)):
            return evolve(value, detail=text, for_command=None)
        case Remark(for_command=text):
            return text
        case tuple():
            converted = tuple(map(_converted, value))
            return converted if any(new is not old for new, old in zip(converted, value, strict=True)) else value
        case _ if has(type(value)):
            values = {each.name: getattr(value, each.name) for each in fields(type(value))}
            new = {name: _converted(old) for name, old in values.items()}
            changed = {name: each for name, each in new.items() if each is not values[name]}
            return evolve(value, **changed) if changed else value
        case _:
            return value
