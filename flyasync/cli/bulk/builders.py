"""The builder of each row: a value of a row overrides the option of the command line."""

import hmac
import re
from collections.abc import Iterable, Mapping, Sequence
from functools import lru_cache
from typing import IO, Any

import click
from attrs import evolve, field, frozen

from flyasync.cli.bulk.options import COLUMNS
from flyasync.cli.bulk.rows_file import AppRow, Cell, InvalidLine
from flyasync.cli.deploy.app_options import AppOptions
from flyasync.cli.deploy.option_rules import check_partners, check_strategy
from flyasync.cli.shared.exit_codes import WrongInput
from flyasync.deploy.builder import DeployBuilder
from flyasync.errors import InvalidInput
from flyasync.models.lint.linter import check_image, refuse
from flyasync.safe_text import readable

SHOWN = 20
"""How many invalid lines are shown one by one."""

_BASES = 1024  # cached builders of row shapes
_ANY = "base"  # stands for values that differ between rows of a shape
_SEPARATORS = re.compile(r"[\s,;]+")
_EXCLUDES = {"size": "cpus", "cpus": "size", "region": "waves", "waves": "region"}

Shape = tuple[tuple[str, Cell], ...]
"""The cells of a row except app, image, environment and metadata; many rows have the same ones."""


@frozen
class Defaults:
    """The values of the options for all rows, and the names of the options that are given."""

    values: Mapping[str, Any] = field(repr=False)
    given: frozenset[str]


@frozen
class BaseBuilder:
    """The builder that rows of one shape share, and its values as one text."""

    builder: DeployBuilder
    text: str = field(repr=False)


class WrongLines(WrongInput):
    """The end of a command whose file has invalid lines, of which the first ones are shown."""

    kind = "WrongLines"

    def __init__(self, name: str, wrong: Sequence[InvalidLine], count: int) -> None:
        self._lines = [
            f"{name}: {count} invalid {'line' if count == 1 else 'lines'}, so nothing was deployed",
            *(f"line {each.line}: {' '.join(each.why.split())}" for each in wrong),
            *([f"and {count - len(wrong)} more"] if count > len(wrong) else []),
        ]
        super().__init__("; ".join(self._lines))

    def show(self, file: IO[Any] | None = None) -> None:
        """Write the lines to stderr, or to `file`."""
        click.echo("flyasync: " + readable("\n  ".join(self._lines)), file=file, err=True)


class RowBuilders:
    """Makes the builder of a row; rows of one shape share a builder, as a file may have 100,000 rows."""

    def __init__(self, defaults: Defaults, ctx: click.Context) -> None:
        self._defaults = defaults
        self._ctx = ctx
        self._base = lru_cache(maxsize=_BASES)(self._build_base)

    def of(self, row: AppRow) -> DeployBuilder:
        """Return the builder of a row; raises InvalidInput or ClickException for an invalid row."""
        # Image, environment and metadata differ between rows, and are cheap to add to the shared config.
        image, env, metadata, shape = self._parts(row)
        if not image:
            raise InvalidInput("no image: set the column image, or --image for all rows")
        refuse(check_image(image))
        base = self._base(shape).builder
        config = evolve(base.config, image=image, env=env or None, metadata=metadata or None)
        return base.for_app(row.app).with_config(config)

    def base(self, row: AppRow) -> BaseBuilder:
        """Return the builder that a row shares with others of its shape; raises what `of` raises."""
        return self._base(self._parts(row)[-1])

    def fingerprint(self, row: AppRow, key: bytes) -> str:
        """Return a short text that is equal for rows with equal values; it reveals nothing without the key."""
        image, env, metadata, shape = self._parts(row)
        text = repr((self._base(shape).text, image, sorted(env.items()), sorted(metadata.items())))
        return hmac.digest(key, text.encode("utf-8", "surrogatepass"), "sha256").hex()[:16]

    def ignores_image_of(self, row: AppRow) -> bool:
        """Whether --image is given, and this row has another image."""
        own = dict(zip(row.columns, row.cells, strict=True)).get("image")
        return "image" in self._defaults.given and own not in {None, self._defaults.values["image"]}

    def _parts(self, row: AppRow) -> tuple[Any, dict[str, str], dict[str, str], Shape]:
        """Split a row into image, environment, metadata and shape, with the defaults in the first three."""
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

    def _build_base(self, shape: Shape) -> BaseBuilder:
        """Build the builder of a shape; raises InvalidInput or ClickException."""
        own = {name: self._value(name, cell) for name, cell in shape}
        # In this order: the cells of the row, the reset of options that they exclude, the options of the command line.
        excluded = {_EXCLUDES[name] for name in own if name in _EXCLUDES} - own.keys()
        unstated = {name: COLUMNS[name].process_value(self._ctx, None) for name in excluded}
        values = {**self._defaults.values, **unstated, **own, "image": _ANY, "env": {}, "metadata": {}}
        options = AppOptions.of({**values, "create_app": None})
        # If the row has a strategy, options of the command line for another strategy are ignored.
        check_strategy(
            options,
            options.change.strategy,
            own.keys() if "strategy" in own else own.keys() | self._defaults.given,
            str,
        )
        check_partners(own.keys() | self._defaults.given, str)
        if not (options.regions.region or options.change.waves):
            raise InvalidInput("no region: set the column region, or --region for all rows")
        # Fingerprints in journals contain this text: another text would deploy all of their rows again.
        return BaseBuilder(options.applied(DeployBuilder(_ANY)), repr(sorted(values.items())))

    def _value(self, name: str, cell: Cell) -> Any:
        """Parse a cell as the option of the same name parses its values."""
        option = COLUMNS[name]
        if isinstance(cell, tuple) and not option.multiple:
            raise InvalidInput(f"{name}: expected one value, not a list")
        # Spaces, commas and semicolons all separate values in a cell, as spreadsheets differ by language.
        texts = tuple(_SEPARATORS.split(cell)) if isinstance(cell, str) and option.multiple else cell
        try:
            return option.process_value(self._ctx, texts)
        except click.ClickException as error:
            raise InvalidInput(f"{name}: {error.message}") from error


def checked_rows(name: str, rows: Iterable[AppRow | InvalidLine], builders: RowBuilders) -> dict[str, AppRow]:
    """Return the valid rows by app.

    Raises WrongLines for invalid lines, and WrongInput for no rows, or for --image if a row has another image.
    """
    found: dict[str, AppRow] = {}
    wrong: list[InvalidLine] = []
    count = 0
    for row in rows:
        why = row.why if isinstance(row, InvalidLine) else _problem(row, found.setdefault(row.app, row), builders)
        if why is not None:
            count += 1  # only the first ones are kept, as a file may have 100,000 invalid lines
            wrong += [InvalidLine(row.line, why)] if count <= SHOWN else []
    if wrong:
        raise WrongLines(name, wrong, count)
    if not found:
        raise WrongInput(f"{name} has no rows")
    # A user who gives --image expects it to run. For any other option, the value of a row is a deliberate exception.
    others = [row for row in found.values() if builders.ignores_image_of(row)]
    if others:
        rows_have = "1 row has another image" if len(others) == 1 else f"{len(others)} rows have another image"
        raise WrongInput(
            f"{name}: --image is given, but {rows_have}, the first in line {others[0].line}, so nothing was deployed: "
            "leave out --image, or remove the column image from the file"
        )
    return found


def _problem(row: AppRow, first: AppRow, builders: RowBuilders) -> str | None:
    """Return why a row is invalid, None for a valid one; `first` is the first row of its app."""
    if first is not row:
        return f"the app {row.app} is already in line {first.line}"
    try:
        builders.of(row).deployment()
    except InvalidInput as error:
        return error.for_command
    except click.ClickException as error:
        return error.message
    return None
