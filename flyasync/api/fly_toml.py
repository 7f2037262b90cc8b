"""Reading a fly.toml, and the files that it names, from disk."""

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

    `process_group` may be left out if there is only one; `image` replaces `build.image`, and is required if there is
    none, since nothing is built here. Files that it names are read relative to it. A mount names its volume by `name`,
    as fly.toml does: replace it by a volume's id before creating a machine. Blocks while it reads from disk.

    Where flyctl differs from its documentation, the documentation holds: `[[restart]]` without `processes` is for all
    groups, and `[[files]]` with `processes` for those alone.

    Raises InvalidInput, with the file's name, for a file that cannot be read, and, with the place in the file, for
    what has no equivalent: values that flyctl would refuse, and keys that are not known here. With `strict` False such
    keys are ignored, as flyctl does; `flyasync lint` lists them. docs: reference/configuration
    """
    read = load_fly_toml(path)
    read.refuse(strict=strict)
    return read.config(process_group, image=image)


def load_fly_toml(path: str | PathLike[str]) -> FlyToml:
    """Read a fly.toml and the files that it names; faults in it are among its findings.

    Blocks while it reads from disk. Raises InvalidInput, with the file's name, for a file that is not TOML or cannot be
    read.
    """
    file = Path(path)
    try:
        document = tomllib.loads(_bytes(file).decode("utf-8-sig"))
    except InvalidInput:
        raise
    except ValueError as error:  # not TOML, or not even text
        raise InvalidInput(f"{file} is no TOML: {error}") from error
    except RecursionError:  # a page of brackets must end in one of our errors, too
        raise InvalidInput(f"{file} is not TOML that can be read: it is nested too deep") from None
    return read_document(document, lambda name: _bytes(file.parent / name))


def _bytes(file: Path) -> bytes:
    try:
        return file.read_bytes()
    except OSError as error:
        raise InvalidInput(f"{file} cannot be read: {error.strerror}") from error
    except ValueError as error:  # such as a NUL in the name
        raise InvalidInput(f"{str(file)!r} is no path of a file: {error}") from error
