"""What is invalid or unwise, found before the API is asked.

Each rule yields findings and raises nothing; `refuse` raises for the certain ones. No finding repeats a secret.
"""

import re
from collections.abc import Iterator, Mapping
from typing import Final

from flyasync.models.config import MachineConfig
from flyasync.models.diff import diff_text, differences
from flyasync.models.lint.errors import check_config, check_image
from flyasync.models.lint.finding import Finding, refuse, warning
from flyasync.models.lint.guest import check_guest
from flyasync.models.lint.warnings import warn

__all__ = ["Finding", "check_app_name", "check_config", "check_guest", "check_image", "lint", "lint_groups", "refuse"]

# "Under 63 chars" in the API's words; a DNS label has room for 63, so that one length is left to the API.
_APP_NAME: Final = re.compile(r"[a-z0-9-]{1,63}")


def lint(
    config: MachineConfig, *, skip_launch: bool | None = None, volumes_by_name: bool = False
) -> tuple[Finding, ...]:
    """Find what is wrong with a config: first what the API would surely refuse (`certain`), then warnings.

    `skip_launch` says how a machine is to be created or updated with it, where that is known. `volumes_by_name` is for
    what was read from a fly.toml, which knows volumes by name only: their ids are put in later.
    """
    return (*check_config(config, volumes_by_name=volumes_by_name), *warn(config, skip_launch=skip_launch))


def lint_groups(configs: Mapping[str, MachineConfig]) -> tuple[Finding, ...]:
    """Find machines whose services differ from those of the first machine of their process group.

    `configs` is by machine id. The Fly Proxy takes the services of a group for equal. Machines without a process group
    are compared with nothing.
    """
    firsts: dict[str, str] = {}
    found: list[Finding] = []
    for machine_id, config in configs.items():
        group = (config.metadata or {}).get("fly_process_group")
        if group:
            first = firsts.setdefault(group, machine_id)
            found.extend(_compare_services(machine_id, config, first, configs[first]))
    return tuple(found)


def _compare_services(machine_id: str, config: MachineConfig, first: str, other: MachineConfig) -> Iterator[Finding]:
    if config.services == other.services:
        return
    changes = differences(MachineConfig(services=other.services), MachineConfig(services=config.services))
    if changes:
        message = f"the services differ from those of {first}, of the same process group ({diff_text(changes[:3])})"
        yield warning("services-differ", f"{machine_id}.services", message.replace("\n", ", "), "make them equal")


def check_app_name(name: str) -> Iterator[Finding]:
    """Check the name of an app to be made."""
    if not _APP_NAME.fullmatch(name):
        yield Finding(
            "app-name",
            "name",
            f"{name!r} is no name of an app: it takes lowercase letters, digits and dashes, under 63 of them",
            _app_name_advice(name),
        )


def _app_name_advice(name: str) -> str:
    close = re.sub(r"[^a-z0-9]+", "-", name.lower()).strip("-")[:62]
    return f"try {close!r}" if close else "choose another one"
