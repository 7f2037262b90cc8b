"""Which kind of JSON a file is: a fly.json, or the config of a machine."""

from collections.abc import Iterable, Mapping
from typing import Any, Final

from attrs import fields

from flyasync.errors import InvalidInput
from flyasync.models.config import MachineConfig

_OF_APPS: Final = frozenset(
    (
        *("app", "primary_region", "kill_signal", "kill_timeout", "swap_size_mb", "console_command", "experimental"),
        *("build", "deploy", "http_service", "host_dedication_id", "machine_config", "container", "machine_checks"),
        *("vm", "compute", "computes", "mount", "metric"),
    )
)
_OF_BOTH: Final = frozenset(
    ("env", "processes", "services", "checks", "mounts", "files", "restart", "statics", "metrics")
)
_OF_MACHINES: Final = frozenset(one.name for one in fields(MachineConfig)) - _OF_BOTH - {"extra"}


def machine_config_in(document: Mapping[str, Any], name: str) -> Mapping[str, Any] | None:
    """Return the machine config that a JSON document is or contains as `config`; None for a fly.json.

    A document with only such keys as both have, such as `env`, is a fly.json if its file's `name` begins with `fly`.
    Raises InvalidInput for a document with keys of both kinds.
    """
    app = _OF_APPS & document.keys()
    # The output of `machines show --json`, and a request to create a machine, contain the config.
    inner = document.get("config")
    if isinstance(inner, Mapping) and not app:
        return inner
    machine = _OF_MACHINES & document.keys()
    if app and machine:
        raise InvalidInput(
            f"it has keys of a fly.json ({_list(app)}) and keys of a machine config ({_list(machine)}): remove either"
        )
    if machine or not (app or name.startswith("fly")):
        return document
    return None


def _list(keys: Iterable[str]) -> str:
    return ", ".join(sorted(keys))
