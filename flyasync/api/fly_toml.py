"""Read a fly.toml and the files that it names from disk."""

import tomllib
from os import PathLike
from pathlib import Path

from flyasync.errors import InvalidInput
from flyasync.models.config import MachineConfig
from flyasync.models.fly_toml.app_config import FlyToml, read_document


def read_fly_toml(
    path: str | PathLike[str], process_group: str | None = None, *, image: str | None = None, strict: bool = True
) -> MachineConfig:
    """Return the config that flyctl would send for one process group of a fly.toml.

    `process_group` may be omitted if there is only one. `image` replaces `build.image`, and is required if that is not
    set, since flyasync does not build images. Paths in the file are relative to it. A mount contains the `name` of its
    volume, as in fly.toml: replace it by the volume's id before creating a machine. Reading from disk blocks.

    If flyctl differs from its documentation, the documentation is followed: `[[restart]]` without `processes` applies
    to all groups, and `[[files]]` with `processes` only to these.

    Raises InvalidInput with the file's name for a file that cannot be read, and with the path in the file for invalid
    values and unknown keys. With `strict=False`, unknown keys are ignored, as flyctl does; `flyasync lint` lists them.
    docs: reference/configuration
    """
    read = load_fly_toml(path)
    read.refuse(strict=strict)
    return read.config(process_group, image=image)


def load_fly_toml(path: str | PathLike[str]) -> FlyToml:
    """Read a fly.toml and the files that it names; its problems are returned as `findings`.

    Reading from disk blocks. Raises InvalidInput with the file's name for a file that is not TOML or cannot be read.
    """
    file = Path(path)
    try:
        document = tomllib.loads(_bytes(file).decode("utf-8-sig"))
    except InvalidInput:
        raise
    except ValueError as error:  # not TOML, or not even text
        raise InvalidInput(f"{file} is not valid TOML: {error}") from error
    except RecursionError:  # such as from a page of brackets
        raise InvalidInput(f"{file} cannot be read: it is nested too deeply") from None
    return read_document(document, lambda name: _bytes(file.parent / name))


def _bytes(file: Path) -> bytes:
    try:
        return file.read_bytes()
    except OSError as error:
        raise InvalidInput(f"{file} cannot be read: {error.strerror}") from error
    except ValueError as error:  # such as a NUL in the name
        raise InvalidInput(f"{str(file)!r} is not a valid file path: {error}") from error
