"""Find what is invalid or unwise in a config, without a request to the API.

Each rule yields findings and never raises; `refuse` raises for the certain ones. No finding contains a secret.
"""

from collections.abc import Mapping
from typing import Final

from flyasync.models.config import MachineConfig
from flyasync.models.diff import diff_text, differences
from flyasync.models.lint.errors import check_app_name, check_config, check_image
from flyasync.models.lint.finding import Finding, refuse, warning
from flyasync.models.lint.guest import check_guest
from flyasync.models.lint.warnings import warn

__all__ = ["Finding", "check_app_name", "check_config", "check_guest", "check_image", "lint", "lint_groups", "refuse"]

_SHOWN: Final = 3  # changes in one message


def lint(
    config: MachineConfig, *, skip_launch: bool | None = None, volumes_by_name: bool = False
) -> tuple[Finding, ...]:
    """Return the findings in a config: first what the API would refuse (`certain`), then warnings.

    `skip_launch` is the option with which a machine will be created or updated, if known. `volumes_by_name` is for a
    config from a fly.toml, which contains the names of volumes; their ids are set later.
    """
    return (*check_config(config, volumes_by_name=volumes_by_name), *warn(config, skip_launch=skip_launch))


def lint_groups(configs: Mapping[str, MachineConfig]) -> tuple[Finding, ...]:
    """Return a warning for each machine whose services differ from those of the first machine of its process group.

    The keys of `configs` are machine ids. The Fly Proxy assumes that all machines of a group have equal services.
    Machines without a process group are not compared.
    """
    firsts: dict[str, str] = {}
    found: list[Finding] = []
    for machine_id, config in configs.items():
        group = (config.metadata or {}).get("fly_process_group")
        if not group:
            continue
        first = firsts.setdefault(group, machine_id)
        # Most services are equal as they are, and the semantic comparison is much slower.
        if config.services == configs[first].services:
            continue
        other = MachineConfig(services=configs[first].services)
        if changes := differences(other, MachineConfig(services=config.services)):
            summary = diff_text(changes[:_SHOWN])
            message = f"the services differ from those of {first} in the same process group ({summary})"
            advice = "make them equal"
            found.append(warning("services-differ", f"{machine_id}.services", message.replace("\n", ", "), advice))
    return tuple(found)
