"""Reading NAME=VALUE lines, as in a `.env`; what is wrong is told by its line, never by its content."""

import re

import click

_LINE = re.compile(r"(?:export\s+)?([A-Za-z_][A-Za-z0-9_]*)\s*=\s*(.*)")
_ESCAPES = {"n": "\n", "r": "\r", "t": "\t"}


def read(text: str) -> dict[str, str]:
    """Give the values by name; a line that begins with `#` is a remark, and quotes around a value are taken off."""
    found: dict[str, str] = {}
    for number, line in enumerate(text.splitlines(), start=1):
        if not line.strip() or line.lstrip().startswith("#"):
            continue
        name, value = _pair(number, line.strip())
        if name in found:
            raise click.UsageError(f"line {number}: {name} is given twice")
        found[name] = value
    if not found:
        raise click.UsageError("there is no NAME=VALUE to read")
    return found


def _pair(number: int, line: str) -> tuple[str, str]:
    match = _LINE.fullmatch(line)
    if match is None:
        raise click.UsageError(f"line {number} is not NAME=VALUE")
    return match[1], _unquoted(number, match[2])


def _unquoted(number: int, value: str) -> str:
    if value[:1] not in {"'", '"'}:
        return value
    if len(value) == 1 or value[-1] != value[0]:
        raise click.UsageError(f"line {number}: the quote is not closed")
    inner = value[1:-1]
    return inner if value[0] == "'" else re.sub(r"\\(.)", lambda found: _ESCAPES.get(found[1], found[1]), inner)
