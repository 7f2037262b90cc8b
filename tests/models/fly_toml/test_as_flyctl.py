"""What flyctl makes of made-up fly.tomls, recorded, is what we make of them; what it refuses is refused.

`as_flyctl.json` has the config of each process group, without flyctl's version and its empty values; null if flyctl
refuses the file.
"""

import json
import tomllib
from pathlib import Path
from typing import Any

import pytest

from flyasync.errors import InvalidInput
from flyasync.models.config import MachineConfig
from flyasync.models.fly_toml.document import read_document
from flyasync.models.json.codec import structure, unstructure

RECORDED: list[dict[str, Any]] = json.loads((Path(__file__).parent / "as_flyctl.json").read_text())


def no_file(path: str) -> bytes:
    raise InvalidInput(f"{path} does not exist")


@pytest.mark.parametrize("row", RECORDED, ids=lambda row: row["toml"].replace("\n", " "))
def test_a_fly_toml_becomes_what_flyctl_sends(row: dict[str, Any]) -> None:
    read = read_document(tomllib.loads(row["toml"]), no_file)
    if row["configs"] is None:
        with pytest.raises(InvalidInput, match=r"^fly\.toml: "):
            read.refuse()
        return
    read.refuse()
    ours = {group: read.config(group, image="nginx") for group in read.groups}
    # Through the models, which know that "2m" is "120s", and true is "stop".
    theirs = {group: structure(config, MachineConfig) for group, config in row["configs"].items()}
    assert ours == theirs, {group: unstructure(config) for group, config in ours.items()}
