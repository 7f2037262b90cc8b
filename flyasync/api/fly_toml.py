"""Find and read a fly.toml, fly.json or machine config, and the files that it names, on disk."""

import json
import tomllib
from collections.abc import Mapping
from os import PathLike
from pathlib import Path
from typing import Any, Final

from flyasync.errors import InvalidInput
from flyasync.models.config import MachineConfig
from flyasync.models.fly_toml.app_config import FlyToml
from flyasync.models.fly_toml.document import read_document
from flyasync.models.fly_toml.kinds import machine_config_in
from flyasync.models.json.codec import Mismatch, structure

# In the order in which flyctl looks for them.
_NAMES: Final = ("fly.toml", "fly.json", "fly.yaml")
_YAML: Final = (".yaml", ".yml")


def find_fly_toml(folder: str | PathLike[str] = ".") -> Path | None:
    """Return the fly.toml of a folder, or its fly.json, or None if it has neither.

    These are the files that flyctl finds, in the same order; parent folders are not searched. Looking blocks. Raises
    InvalidInput if there is only a fly.yaml, which flyctl reads and flyasync does not.
    """
    found = next((path for name in _NAMES if (path := Path(folder) / name).is_file()), None)
    if found is not None:
        _refuse_yaml(found)
    return found


def load_config_file(path: str | PathLike[str]) -> FlyToml | MachineConfig:
    """Read a fly.toml or fly.json as a FlyToml, or the JSON of a machine as its MachineConfig.

    JSON is that of a machine if it has keys that only a machine config has, such as `image` or `guest`, or a `config`,
    as in the output of `flyasync machines show --json`. A path may name a folder, like `fly deploy --config`. The
    problems in a fly.toml are returned by it; see `FlyToml.problems`. Reading from disk blocks.

    Raises InvalidInput with the file's name for a file that cannot be read, for YAML, for a machine config with a value
    of the wrong type, and for JSON that may be either.
    """
    file = Path(path)
    if file.is_dir():
        file = find_fly_toml(file) or file / _NAMES[0]
    _refuse_yaml(file)
    document = _parsed(file)
    if file.suffix == ".json":
        try:
            machine = machine_config_in(document, file.name)
            if machine is not None:
                return structure(machine, MachineConfig)
        except (InvalidInput, Mismatch) as error:
            raise InvalidInput(f"{file}: {error}") from error
    return read_document(document, lambda name: _bytes(file.parent / name), source=str(path))


def load_fly_toml(path: str | PathLike[str]) -> FlyToml:
    """Read a fly.toml or fly.json and the files that it names; its problems are returned as `findings`.

    Reading from disk blocks. Raises InvalidInput with the file's name for a file that cannot be read, and for the JSON
    of a machine, which `load_config_file` accepts.
    """
    read = load_config_file(path)
    if isinstance(read, MachineConfig):
        raise InvalidInput(f"{path} is the config of a machine, not a fly.toml or fly.json")
    return read


def read_fly_toml(
    path: str | PathLike[str], process_group: str | None = None, *, image: str | None = None, strict: bool = False
) -> MachineConfig:
    """Return the config that flyctl would send for one process group of a fly.toml or fly.json.

    `process_group` may be omitted if there is only one. `image` replaces `build.image`, and is required if that is not
    set, since flyasync does not build images. Paths in the file are relative to it. A mount contains the `name` of its
    volume, as in fly.toml: replace it by the volume's id before creating a machine. Reading from disk blocks.

    If flyctl differs from its documentation, the documentation is followed: `[[restart]]` without `processes` applies
    to all groups, and `[[files]]` with `processes` only to these; a `raw_value` that is base64 is sent unchanged; a
    plain number in `[[http_service.checks]]` is in milliseconds; a service without `internal_port` uses 8080; and
    `kernel_args` may be a string.

    Raises InvalidInput with all values that `fly config validate` would refuse, each with its path in the file. What
    the API would refuse in the config is found by `flyasync lint`, and by a deploy before its first request. Unknown
    keys are ignored, as flyctl does, and `flyasync lint` lists them; with `strict`, they are refused.
    docs: reference/configuration
    """
    read = load_fly_toml(path)
    read.refuse(*(() if process_group is None else (process_group,)), strict=strict, of_api=False)
    return read.config(process_group, image=image)


def _refuse_yaml(file: Path) -> None:
    if file.suffix in _YAML:
        raise InvalidInput(
            f"{file} is YAML, which flyasync does not read: convert it with `fly config show --local --toml`, and save "
            "the output as fly.toml"
        )


def _parsed(file: Path) -> Mapping[str, Any]:
    kind = "JSON" if file.suffix == ".json" else "TOML"
    try:
        text = _bytes(file).decode("utf-8-sig")
        document = json.loads(text) if kind == "JSON" else tomllib.loads(text)
    except InvalidInput:
        raise
    except ValueError as error:  # not TOML or JSON, or not even text
        raise InvalidInput(f"{file} is not valid {kind}: {error}") from error
    except RecursionError:  # such as from a page of brackets
        raise InvalidInput(f"{file} cannot be read: it is nested too deeply") from None
    if not isinstance(document, Mapping):
        raise InvalidInput(f"{file} must contain a JSON object")
    return document


def _bytes(file: Path) -> bytes:
    try:
        return file.read_bytes()
    except OSError as error:
        raise InvalidInput(f"{file} cannot be read: {error.strerror}") from error
    except ValueError as error:  # such as a NUL in the name
        raise InvalidInput(f"{str(file)!r} is not a valid file path: {error}") from error
