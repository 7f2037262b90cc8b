"""Rows become builders: what a row says stands in the place of what the command line says for all of them."""

import hmac
import re
from collections.abc import Iterable, Mapping, Sequence
from functools import lru_cache
from typing import IO, Any

import click
from attrs import evolve, frozen

from flyasync.cli.bulk.options import COLUMNS
from flyasync.cli.bulk.rows_file import Cell, Row, Wrong
from flyasync.cli.deploy.builder import builder
from flyasync.cli.deploy.option_rules import check_fit, check_partners
from flyasync.cli.shared.exit_codes import WrongInput
from flyasync.deploy.builder import DeployBuilder
from flyasync.errors import InvalidInput
from flyasync.models.lint.linter import check_image, refuse
from flyasync.text import readable

SHOWN = 20
"""How many wrong rows are told one by one."""

_BASES = 1024  # builders kept for what rows have in common
_ANY = "base"  # in the place of what rows do not have in common
_BETWEEN = re.compile(r"[\s,;]+")
_INSTEAD = {"size": "cpus", "cpus": "size", "region": "waves", "waves": "region"}

Shape = tuple[tuple[str, Cell], ...]
"""What a row says besides app, image, environment and metadata, which few rows share."""


@frozen
class Defaults:
    """What the command line says for all rows: the values of the options, and the names of those that were given."""

    values: Mapping[str, Any]
    given: frozenset[str]


@frozen
class Base:
    """What rows of one shape have in common: their builder, and all that was wanted of it as one text."""

    builder: DeployBuilder
    text: str


class WrongLines(WrongInput):
    """The end of a command whose file has lines that can never work: each of the first ones is told."""

    def __init__(self, name: str, wrong: Sequence[Wrong], count: int) -> None:
        self._lines = [
            f"{name}: {count} {'line is' if count == 1 else 'lines are'} wrong, so nothing was begun",
            *(f"line {each.line}: {' '.join(each.why.split())}" for each in wrong),
            *([f"and {count - len(wrong)} more"] if count > len(wrong) else []),
        ]
        super().__init__("; ".join(self._lines))

    def show(self, file: IO[Any] | None = None) -> None:
        """Write the lines to stderr, or to `file`."""
        click.echo("flyasync: " + readable("\n  ".join(self._lines)), file=file, err=True)


class Builders:
    """Makes the builder of a row; what rows have in common is made once."""

    def __init__(self, defaults: Defaults, ctx: click.Context) -> None:
        self._defaults = defaults
        self._ctx = ctx
        self._base = lru_cache(maxsize=_BASES)(self._made)

    def of(self, row: Row) -> DeployBuilder:
        """Make it; raises InvalidInput or ClickException for what can never work."""
        image, env, metadata, shape = self._parts(row)
        if not image:
            raise InvalidInput("it has no image: name one in the column image, or for all rows with --image")
        refuse(check_image(image))
        made = self._base(shape).builder
        config = evolve(made.config, image=image, env=env or None, metadata=metadata or None)
        return evolve(made, app=row.app, config=config)

    def base(self, row: Row) -> Base:
        """Give what a row has in common with others of its shape; raises what `of` raises."""
        return self._base(self._parts(row)[-1])

    def fingerprint(self, row: Row, key: bytes) -> str:
        """Give a short text that tells what is wanted of a row from all else; without the key it tells nothing."""
        image, env, metadata, shape = self._parts(row)
        text = repr((self._base(shape).text, image, sorted(env.items()), sorted(metadata.items())))
        return hmac.digest(key, text.encode("utf-8", "surrogatepass"), "sha256").hex()[:16]

    def is_overruled(self, row: Row) -> bool:
        """Tell whether a row has another image than the one that the command line gives."""
        own = dict(zip(row.columns, row.cells, strict=True)).get("image")
        return "image" in self._defaults.given and own not in {None, self._defaults.values["image"]}

    def _parts(self, row: Row) -> tuple[Any, dict[str, str], dict[str, str], Shape]:
        values = self._defaults.values
        image, env, metadata = values["image"], dict(values["env"]), dict(values["metadata"])
        shape: list[tuple[str, Cell]] = []
        for name, cell in zip(row.columns, row.cells, strict=True):
            if name == "image":
                image = cell
            elif name.startswith("env."):
                env[name[4:]] = str(cell)
            elif name.startswith("metadata."):
                metadata[name[9:]] = str(cell)
            else:
                shape.append((name, cell))
        return image, env, metadata, tuple(shape)

    def _made(self, shape: Shape) -> Base:
        """Make what rows of a shape have in common; raises InvalidInput or ClickException."""
        own = {name: _value(self._ctx, name, cell) for name, cell in shape}
        values = {**self._defaults.values, **self._undone(own), **own}
        given = own.keys() if "strategy" in own else own.keys() | self._defaults.given
        check_fit(values, given, str)
        check_partners(own.keys() | self._defaults.given, str)
        if not (values["region"] or values["waves"]):
            raise InvalidInput("it has no region: name some in the column region, or for all rows with --region")
        shared = {**values, "image": _ANY, "env": {}, "metadata": {}}
        made = builder(app=_ANY, launch=None, journal=None, **shared)
        return Base(made, repr(sorted(shared.items())))

    def _undone(self, own: Mapping[str, Any]) -> dict[str, Any]:
        """Take back what is said for all rows where the row itself says something that excludes it."""
        others = {_INSTEAD[name] for name in own if name in _INSTEAD} - own.keys()
        return {name: COLUMNS[name].process_value(self._ctx, None) for name in others}


def _value(ctx: click.Context, name: str, cell: Cell) -> Any:
    """Read a cell as the option of the same name reads its values."""
    option = COLUMNS[name]
    if isinstance(cell, tuple) and not option.multiple:
        raise InvalidInput(f"{name}: it takes one value, not a list")
    texts = tuple(_BETWEEN.split(cell)) if isinstance(cell, str) and option.multiple else cell
    try:
        return option.process_value(ctx, texts)
    except click.ClickException as error:
        raise InvalidInput(f"{name}: {error.message}") from error


def checked(name: str, rows: Iterable[Row | Wrong], builders: Builders) -> dict[str, Row]:
    """Give the rows by their apps, each checked as it would be deployed.

    Raises WrongLines, and WrongInput for no rows, or for an image on the command line where rows have another.
    """
    found: dict[str, Row] = {}
    wrong: list[Wrong] = []
    count = 0
    for row in rows:
        why = row.why if isinstance(row, Wrong) else _trouble(row, found.setdefault(row.app, row), builders)
        if why is not None:
            count += 1
            wrong += [Wrong(row.line, why)] if count <= SHOWN else []
    if wrong:
        raise WrongLines(name, wrong, count)
    if not found:
        raise WrongInput(f"{name} has no rows: each one names an app")
    _demand_one_image(name, [row for row in found.values() if builders.is_overruled(row)])
    return found


def _demand_one_image(name: str, others: Sequence[Row]) -> None:
    """Refuse an image that is given where rows have another: whoever gives it means it to run."""
    if others:
        rows = "1 row has another image" if len(others) == 1 else f"{len(others)} rows have another image"
        raise WrongInput(
            f"{name}: --image is given, but {rows}, the first in line {others[0].line}, so nothing was begun: leave "
            "--image out, or take the column image out of the file"
        )


def _trouble(row: Row, first: Row, builders: Builders) -> str | None:
    """Say why a row can never work."""
    if first is not row:
        return f"the app {row.app} is in line {first.line} already"
    try:
        builders.of(row).deployment()
    except InvalidInput as error:
        return str(error)
    except click.ClickException as error:
        return error.message
    return None
