"""The files of the live page and of the report's page: styles, scripts, and the page itself."""

import json
import re
from collections.abc import Iterable, Mapping
from functools import cache
from typing import Final

from flyasync.models.region import Region

MODULES: Final = ("fleet.js", "elements.js", "map.js", "lists.js", "page.js", "main.js")
"""The modules of the page; each one imports only those before it."""

STYLES: Final = ("looks.css", "live.css")
"""The style sheets of the live page."""

Positions = Mapping[str, tuple[float, float]]
"""The latitude and longitude of regions, in degrees."""

_IMPORT = re.compile(r"^import .*\n", re.MULTILINE)
_EXPORT = re.compile(r"^export ", re.MULTILINE)


@cache
def asset(name: str) -> str:
    """Return the text of a file."""
    from importlib.resources import files  # it loads slowly, and most programs make no page

    return files("flyasync.deploy.reporting").joinpath("assets", name).read_text(encoding="utf-8")


@cache
def whole_script() -> str:
    """Return all modules as one, for a page that loads nothing."""
    return "".join(_EXPORT.sub("", _IMPORT.sub("", asset(name))) for name in MODULES)


def positions_of(regions: Iterable[Region]) -> Positions:
    """Return the positions of the platform's regions, and those that Fly.io publishes for the others."""
    known: dict[str, tuple[float, float]] = json.loads(asset("regions.json"))
    listed = {
        each.code: (each.latitude, each.longitude)
        for each in regions
        if each.latitude is not None and each.longitude is not None
    }
    return {**known, **listed}
