"""Reading a fly.toml, and the files that it names, from the disk."""

import tomllib
from os import PathLike
from pathlib import Path

from flyasync.errors import InvalidInput
from flyasync.models.config import MachineConfig
from flyasync.models.fly_toml.app_config import FlyToml, read_document


def read_fly_toml(
    path: str | PathLike[str], process_group: str | None = None, *, image: str | None = None, strict: bool = True
) -> MachineConfig:
    """Read the config that flyctl would send for one process group of a fly.toml.

    `process_group` may be left out where there is only one; `image` takes the place of `build.image`, and is needed
    where there is none, for nothing is built here. Files that it names are looked for beside it. A mount names its
    volume by `name`, as fly.toml does: put a volume's id into it before creating a machine. Blocks for as long as the
    disk does.

    Where flyctl differs from its documentation, the documentation holds: `[[restart]]` without `processes` is for all
    groups, and `[[files]]` with `processes` for those alone.

    Raises InvalidInput, with the file's name, for a file that cannot be read, and for what has no equivalent, by its
    place in the file: values that flyctl would refuse, and keys that are not known here. With `strict` False the latter
    are left out, as flyctl does; `flyasync lint` lists them. docs: reference/configuration
    """
    read = load_fly_toml(path)
    read.refuse(strict=strict)
    return read.config(process_group, image=image)


def load_fly_toml(path: str | PathLike[str]) -> FlyToml:
    """Read a fly.toml to its end, and the files that it names beside it; what is wrong in it is among its findings.

    Blocks for as long as the disk does. Raises InvalidInput, with the file's name, for a file that is no TOML or cannot
    be read.
    """
    file = Path(path)
    try:
        document = tomllib.loads(_bytes(file).decode("utf-8-sig"))
    except InvalidInput:
        raise
    except ValueError as error:  # no TOML, or no text at all
        raise InvalidInput(f"{file} is no TOML: {error}") from error
    except RecursionError:
        raise InvalidInput(f"{file} is not TOML that can be read: it is nested too deep") from None
    return read_document(document, lambda name: _bytes(file.parent / name))


def _bytes(file: Path) -> bytes:
    try:
        return file.read_bytes()
    except OSError as error:
        raise InvalidInput(f"{file} cannot be read: {error.strerror}") from error
    except ValueError as error:  # such as a NUL in it
        raise InvalidInput(f"{str(file)!r} is no path of a file: {error}") from error
