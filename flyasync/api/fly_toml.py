"""Reading a fly.toml, and the files that it names, from the disk."""

import tomllib
from os import PathLike
from pathlib import Path

from flyasync.errors import InvalidInput
from flyasync.models.config import MachineConfig
from flyasync.models.fly_toml import config_from_fly_toml


def read_fly_toml(
    path: str | PathLike[str], process_group: str | None = None, *, image: str | None = None
) -> MachineConfig:
    """Read the machine config that flyctl would send for a fly.toml; `MachineConfig.from_fly_toml` does the same.

    The files that it names are looked for beside it. Blocks for as long as the disk does. Raises InvalidInput, with
    the file's name, for a file that cannot be read and for what a machine's config cannot say.
    """
    file = Path(path)
    try:
        document = tomllib.loads(_bytes(file).decode())
    except ValueError as error:  # no TOML, or no text at all
        raise error if isinstance(error, InvalidInput) else InvalidInput(f"{file} is no TOML: {error}") from error
    return config_from_fly_toml(
        document, process_group=process_group, image=image, read_file=lambda name: _bytes(file.parent / name)
    )


def _bytes(file: Path) -> bytes:
    try:
        return file.read_bytes()
    except OSError as error:
        raise InvalidInput(f"{file} cannot be read: {error.strerror}") from error
    except ValueError as error:  # such as a NUL in it
        raise InvalidInput(f"{str(file)!r} is no path of a file: {error}") from error
