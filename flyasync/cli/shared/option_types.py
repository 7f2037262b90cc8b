"""Parsers of option values: `NAME=VALUE`, `iad=0`, `iad/lhr,nrt`, `0.02:0.25`, a fault as JSON.

Each function is a click callback: it returns the parsed value, and raises BadParameter for an invalid text.
"""

import math
import os
import re
from collections import Counter
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, NamedTuple, TextIO

import click

if TYPE_CHECKING:
    from pathlib import Path

    from flyasync.emulator.core.accepted_token import AcceptedToken
    from flyasync.emulator.core.faults import Fault
    from flyasync.emulator.core.processes import Output
    from flyasync.models.config import Mount


def pairs(_ctx: click.Context, _param: click.Parameter, texts: tuple[str, ...]) -> Mapping[str, str]:
    """Parse repeated NAME=VALUE; the error does not contain the text, which may be a secret."""
    found: dict[str, str] = {}
    for text in texts:
        name, equals, value = text.partition("=")  # at the first one: a value may contain more
        if not (name.strip() and equals):
            raise click.BadParameter("expected NAME=VALUE")
        if name.strip() in found:
            raise click.BadParameter(f"{name.strip()} is given twice")
        found[name.strip()] = value
    return found


def variables(_ctx: click.Context, param: click.Parameter, texts: tuple[str, ...]) -> Mapping[str, str]:
    """Parse repeated NAME=VALUE or NAME, which takes the value of the variable in the environment of the command.

    The error does not contain the text, which may be a secret.
    """
    whole = []
    for text in texts:
        name = text.strip()
        if "=" not in text and name not in os.environ:
            raise click.BadParameter("expected NAME=VALUE, or the NAME of a variable that is set for this command")
        whole.append(text if "=" in text else f"{name}={os.environ[name]}")
    return pairs(_ctx, param, tuple(whole))


def contents(ctx: click.Context, _param: click.Parameter, file: TextIO | None) -> str | None:
    """Read a text file."""
    if file is None or ctx.resilient_parsing:  # shell completion must not wait for the end of a file
        return None
    return text_of(file)


def text_of(file: TextIO) -> str:
    """Read text to its end; the error does not contain the bytes, which may be a secret."""
    try:
        return file.read()
    except UnicodeDecodeError:
        raise click.BadParameter("the input is not text") from None


def capacities(_ctx: click.Context, _param: click.Parameter, texts: tuple[str, ...]) -> Mapping[str, int]:
    """Read REGION=MACHINES, repeated or as comma lists; the last one for a region counts."""
    found: dict[str, int] = {}
    for text in listed(texts):
        region, _, machines = text.partition("=")
        if not (region.strip() and machines.strip().isdecimal()):
            raise click.BadParameter(f"{text!r} is not REGION=MACHINES, such as iad=0")
        found[region.strip()] = int(machines)
    return found


def amount(_ctx: click.Context, _param: click.Parameter, text: str | None) -> float | str | None:
    """Read a share such as 0.6 as a number; the builder parses any other text."""
    return float(text) if text and re.fullmatch(r"\d*\.\d+", text) else text


class Counts(NamedTuple):
    """Numbers of machines as given: each with a name, which is that of a group or a region, and a region of a group."""

    stated: tuple[tuple[str | None, str | None, int], ...] = ()

    @property
    def regions(self) -> frozenset[str]:
        """The regions that are named, and the names that may be those of regions."""
        return frozenset(code or name for name, code, _ in self.stated if code or name)  # type: ignore[misc]

    @property
    def has_zero(self) -> bool:
        """Whether a number is 0, so that machines are destroyed."""
        return any(count == 0 for _, _, count in self.stated)


def counts(_ctx: click.Context, _param: click.Parameter, texts: tuple[str, ...]) -> Counts:
    """Read N, NAME=N and GROUP=N@CODE, repeated or as comma lists; each may be given once."""
    found: dict[tuple[str | None, str | None], int] = {}
    for text in listed(texts):
        parts = re.fullmatch(r"(?:(\S+?)\s*=\s*)?(-?\d+)(?:@(\S+))?", text)
        if parts is None or (parts[3] and not parts[1]):
            raise click.BadParameter(
                f"{text!r} is not a number of machines, such as 2, iad=5, worker=2 or worker=2@iad"
            )
        key = parts[1], parts[3]
        if key in found:
            raise click.BadParameter(f"it is given twice for {'@'.join(filter(None, key)) or 'each region'}")
        found[key] = int(parts[2])
    return Counts(tuple((name, code, count) for (name, code), count in found.items()))


def waves(_ctx: click.Context, _param: click.Parameter, text: str | None) -> tuple[tuple[str, ...], ...]:
    """Parse waves of regions with slashes between them; each region is in one wave."""
    found = () if text is None else tuple(listed([wave]) for wave in text.split("/"))
    codes = [code for wave in found for code in wave]
    if not all(codes):
        raise click.BadParameter(
            f"{text!r} lacks a region: use commas between regions and / between waves, such as iad/lhr,nrt"
        )
    for code, times in Counter(codes).items():
        if times > 1:
            raise click.BadParameter(f"{code!r} is given twice; each region is in one wave")
    return found


def volume(_ctx: click.Context, _param: click.Parameter, text: str | None) -> tuple[str, str, int] | None:
    """Read NAME:PATH, or NAME:PATH:SIZE_GB."""
    if text is None:
        return None
    found = re.fullmatch(r"([^:]+):([^:]+)(?::(\d+))?", text)
    if found is None:
        raise click.BadParameter(f"{text!r} is not NAME:PATH or NAME:PATH:SIZE_GB, such as data:/data:10")
    return found[1], found[2], int(found[3] or 1)


def mount(_ctx: click.Context, _param: click.Parameter, text: str | None) -> "Mount | None":
    """Read NAME:PATH or ID:PATH."""
    if text is None:
        return None
    volume, colon, path = text.partition(":")
    if not (volume and colon and path.startswith("/")):
        raise click.BadParameter(f"{text!r} is not NAME:PATH or ID:PATH with an absolute path, such as data:/data")
    from flyasync.models.config import Mount  # slow to import, and most commands need no models

    return Mount(volume=volume, path=path)


def writable(_ctx: click.Context, _param: click.Parameter, text: str | None) -> "Path | None":
    """Parse the path of a file that is written later; it is not created now, as the command may still be refused."""
    if text is None:
        return None
    from pathlib import Path

    path = Path(text)
    # A file that exists is written itself; any other needs a directory to be created in.
    existing = path if path.exists() else path.parent
    if path.is_dir() or not os.access(existing, os.W_OK) or not (path.exists() or existing.is_dir()):
        raise click.BadParameter(
            f"{text!r} cannot be written: use the path of a file in an existing, writable directory"
        )
    return path


def regions(_ctx: click.Context, _param: click.Parameter, texts: tuple[str, ...]) -> tuple[str, ...]:
    """Read regions, repeated or as comma lists; each may be named once."""
    codes = listed(texts)
    for code, times in Counter(codes).items():
        if times > 1:
            raise click.BadParameter(f"{code!r} is given twice; for more machines in a region use --count")
    return codes


def retired(_ctx: click.Context, _param: click.Parameter, texts: tuple[str, ...]) -> tuple[str, ...]:
    """Read regions that an emulator retires, in addition to those that Fly.io has retired."""
    from flyasync.emulator.core.regions import CODES, RETIRED

    codes = listed(texts)
    for code in codes:
        if code not in CODES:
            raise click.BadParameter(f"there is no region {code!r}")
    return (*RETIRED, *codes)


def fallback(_ctx: click.Context, _param: click.Parameter, texts: tuple[str, ...]) -> tuple[str, ...]:
    """Read `skip`, `nearest`, or regions to try in order, repeated or as comma lists."""
    words = listed(texts)
    for word, times in Counter(words).items():
        if word in {"skip", "nearest"} and len(words) > 1:
            raise click.BadParameter(f"{word!r} cannot be combined with regions or other words")
        if times > 1:
            raise click.BadParameter(f"{word!r} is given twice; each region is tried once")
    return words


def bounds(_ctx: click.Context, _param: click.Parameter, text: str | None) -> tuple[float, float] | None:
    """Read LOW:HIGH in seconds, or one number for both."""
    if text is None:
        return None
    low, colon, high = text.partition(":")
    try:
        found = (float(low), float(high if colon else low))
    except ValueError:
        raise click.BadParameter(f"{text!r} is not LOW:HIGH in seconds, such as 0.02:0.25") from None
    if not 0 <= found[0] <= found[1] < math.inf:
        raise click.BadParameter(
            f"{text!r} is not LOW:HIGH in seconds, such as 0.02:0.25: both must be 0 or more, the lower one first"
        )
    return found


def tokens(_ctx: click.Context, _param: click.Parameter, texts: tuple[str, ...]) -> "tuple[AcceptedToken, ...]":
    """Read accepted tokens, each VALUE[:ORG][:APP][:read-only][:expired].

    In place of `expired`, `expires=SECONDS` is a time after the start. The error does not contain the token.
    """
    if not texts:
        return ()
    from difflib import get_close_matches

    from flyasync.emulator.core.accepted_token import AcceptedToken

    found = []
    for text in texts:
        value, *words = text.split(":")
        scope = [word for word in words if word not in {"read-only", "expired"} and not word.startswith("expires=")]
        lasting = [word.removeprefix("expires=") for word in words if word.startswith("expires=")]
        if len(scope) > len(("org", "app")) or not all(re.fullmatch(r"\d+(\.\d+)?", each) for each in lasting):
            raise click.BadParameter("expected VALUE[:ORG][:APP][:read-only][:expired or :expires=SECONDS]")
        # A mistyped restriction would be taken for an organization, and the token would permit everything in it.
        for word in scope:
            if meant := get_close_matches(word, ("read-only", "expired"), n=1, cutoff=0.8):
                raise click.BadParameter(f"{word!r} is neither an organization nor an app: did you mean {meant[0]!r}?")
        org, app = [*scope, "", ""][:2]
        expires = 0.0 if "expired" in words else min(map(float, lasting), default=None)
        try:
            token = AcceptedToken(
                value, org=org or None, app=app or None, read_only="read-only" in words, expires=expires
            )
        except ValueError as error:
            raise click.BadParameter(str(error)) from None
        found.append(token)
    return tuple(found)


def tag_moves(_ctx: click.Context, _param: click.Parameter, texts: tuple[str, ...]) -> Mapping[str, float]:
    """Read tags that move, each IMAGE=SECONDS; a digest after the tag is the one that it moves to."""
    found = {}
    for text in texts:
        image, _, seconds = text.rpartition("=")
        if not image or not re.fullmatch(r"\d+(\.\d+)?", seconds):
            raise click.BadParameter(f"{text!r} is not IMAGE=SECONDS, such as registry.fly.io/web:latest=30")
        found[image] = float(seconds)
    return found


def faults(_ctx: click.Context, _param: click.Parameter, texts: tuple[str, ...]) -> tuple["Fault", ...]:
    """Read faults, each a JSON object with the fields of `flyasync.Fault`."""
    return tuple(map(fault, texts))


def fault(text: str) -> "Fault":
    """Read one fault."""
    import json

    from flyasync.emulator.core.faults import read_fault

    try:
        return read_fault(json.loads(text))
    except RecursionError:
        raise click.BadParameter("it is nested too deeply") from None
    except json.JSONDecodeError as error:
        raise click.BadParameter(f"{text!r} is not JSON: {error}") from None
    except (TypeError, ValueError) as error:
        raise click.BadParameter(f"{text!r}: {error.args[0]}") from None


def commands(_ctx: click.Context, _param: click.Parameter, texts: tuple[str, ...]) -> Mapping[str, "Output"]:
    """Read scripted commands, each a JSON object with `command`, a pattern, and the fields of `flyasync.Output`."""
    if not texts:
        return {}
    import json

    from flyasync.emulator.core.processes import read_script

    found: dict[str, Output] = {}
    for text in texts:
        try:
            pattern, output = read_script(json.loads(text))
        except (TypeError, ValueError, RecursionError) as error:
            raise click.BadParameter(f"{text!r}: {error.args[0]}") from None
        found[pattern] = output
    return found


def listed(texts: Iterable[str]) -> tuple[str, ...]:
    """Return the items of repeated options and of comma lists as one flat list, in order."""
    return tuple(item.strip() for text in texts for item in text.split(","))
