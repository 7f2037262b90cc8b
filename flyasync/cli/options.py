"""How the values of options are written: `NAME=VALUE`, `iad=0`, `iad,lhr`."""

from collections.abc import Iterable, Mapping

import click


def pairs(_ctx: click.Context, _param: click.Parameter, texts: tuple[str, ...]) -> Mapping[str, str]:
    """Read repeated NAME=VALUE; what was given instead is not repeated, for it may be a secret."""
    found: dict[str, str] = {}
    for text in texts:
        name, equals, value = text.partition("=")
        if not (name.strip() and equals):
            raise click.BadParameter("it takes NAME=VALUE, with a name before the equals sign")
        if name.strip() in found:
            raise click.BadParameter(f"{name.strip()} is given twice")
        found[name.strip()] = value
    return found


def rooms(_ctx: click.Context, _param: click.Parameter, texts: tuple[str, ...]) -> Mapping[str, int]:
    """Read repeated REGION=MACHINES; the last word on a region counts."""
    return dict(map(_room, texts))


def _room(text: str) -> tuple[str, int]:
    region, _, machines = text.partition("=")
    if not (region.strip() and machines.strip().isdecimal()):
        raise click.BadParameter(f"{text!r} is not REGION=MACHINES, such as iad=0")
    return region.strip(), int(machines)


def regions(_ctx: click.Context, _param: click.Parameter, texts: tuple[str, ...]) -> tuple[str, ...]:
    """Read regions, repeated or as comma lists; each may be named once."""
    codes = listed(texts)
    for code in codes:
        if codes.count(code) > 1:
            raise click.BadParameter(f"{code!r} is given twice; for more machines in each region there is --count")
    return codes


def listed(texts: Iterable[str]) -> tuple[str, ...]:
    """Read repeated options and comma lists alike: one flat list, in order."""
    return tuple(item.strip() for text in texts for item in text.split(","))
