"""The process groups of a fly.toml, and which of its sections are for which of them."""

from collections import Counter
from collections.abc import Iterable, Mapping
from typing import Final, TypeVar

from flyasync.models.fly_toml.deploy import command
from flyasync.models.fly_toml.section import Section
from flyasync.models.model import similar_key

T = TypeVar("T")
Scoped = tuple[tuple[str, ...], T]
"""The value of a section, with the process groups that it names before it; empty if it names none."""

APP: Final = "app"
"""The process group of a file that defines none."""
UNKNOWN_GROUP: Final = "unknown-group"
"""The code of the warning about a section for a process group that does not exist."""


def default_group(groups: Iterable[str]) -> str:
    """Return the process group of the sections that name none: `app`, or the first by name."""
    return APP if APP in groups else min(groups)


def own_and_common(group: str, sections: Iterable[Scoped[T]]) -> tuple[list[T], list[T]]:
    """Return the values of the sections that name a process group, and of those that name none."""
    every = list(sections)
    return [value for named, value in every if group in named], [value for named, value in every if not named]


def groups_of(section: Section, groups: Iterable[str], *, must_exist: bool = False) -> tuple[str, ...]:
    """Return the groups that a section names, and report those that do not exist: as an error if they must."""
    named = section.texts("processes") or ()
    for group in named:
        if group in groups:
            continue
        if must_exist:
            section.wrong("processes", f"names {group!r}, which is not a process group: choose one of {_list(groups)}")
        else:
            similar = similar_key(group, groups)
            hint = f": did you mean {similar!r}?" if similar else ", so the section has no effect for it"
            message = f"{group!r} is not a process group{hint}"
            section.warn(UNKNOWN_GROUP, "processes", message, f"choose one of {_list(groups)}")
    return named


def groups_of_service(section: Section, groups: Iterable[str], *, defined: bool) -> tuple[str, ...]:
    """Return the groups that a service names; it must name some if the file `defined` groups."""
    named = groups_of(section, groups, must_exist=True)
    if defined and not named:
        section.wrong("processes", f"is missing: name the process groups of this service, of {_list(groups)}")
    return named


def commands(top: Section) -> dict[str, tuple[str, ...]]:
    """Return the commands by process group, from a table or from the old list of tables with `name` and `command`."""
    value = top.take("processes")
    if value is None:
        return {}
    lines = dict(value) if isinstance(value, Mapping) else _listed_commands(top, value)
    if not all(isinstance(line, str) for line in lines.values()):
        top.wrong("processes", "must be a table of commands")
    return {str(name): command(top, "processes", line if isinstance(line, str) else "") for name, line in lines.items()}


def _listed_commands(top: Section, value: object) -> dict[str, str]:
    named = []
    for each in Section("", {"processes": value}, top.found).tables("processes"):
        if each.is_empty:
            continue
        name, line = name_of(each), each.text("command")
        each.finish()
        if name:
            named.append((name, line or ""))
    for name, count in Counter(name for name, _ in named).items():
        if count > 1:
            message = f"{count} have the name {name!r}; the last one is used"
            top.warn("process-twice", "processes", message, "keep one")
    return dict(named)


def name_of(section: Section) -> str:
    """Return the `name` of a table in a list, or report that it is missing."""
    name = section.text("name")
    if not name:
        section.wrong("name", "is missing")
    return name or ""


def _list(groups: Iterable[str]) -> str:
    return ", ".join(groups)
