"""What a dry run shows: the plan, and what each machine would be; of its environment only the names."""

from collections.abc import Iterator, Mapping
from typing import Any

from flyasync.api.once import LAUNCH
from flyasync.deploy.plan import Plan
from flyasync.models.config import MachineConfig
from flyasync.models.convert import unstructure


def outlined(plan: Plan, config: MachineConfig) -> str:
    """Give plan and config as text."""
    words = dict(_words(config_as_json(plan, config)))
    width = max(map(len, words))
    lines = (f"    {name:{width}}  {text}" for name, text in words.items())
    return "\n".join([str(plan), "  each machine:", *lines, "dry run: nothing was changed"])


def config_as_json(plan: Plan, config: MachineConfig) -> dict[str, Any]:
    """Give the config as JSON ready to dump, without the values of its environment."""
    data: dict[str, Any] = unstructure(config)
    return {
        "image": data.get("image"),
        "guest": data.get("guest"),
        "env": list(data.get("env", {})),
        "services": data.get("services", []),
        "checks": data.get("checks", {}),
        "metadata": {**data.get("metadata", {}), LAUNCH: plan.launch},
    }


def _words(config: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    yield "image", config["image"]
    yield "guest", _fields(config["guest"]) if config["guest"] else "the API's default"
    yield "env", ", ".join(config["env"]) or "none"
    yield "ports", "; ".join(map(_ports, config["services"])) or "none"
    yield "checks", "; ".join(_checks(config)) or "none"
    yield "metadata", _fields(config["metadata"])


def _ports(service: Mapping[str, Any]) -> str:
    outside = ", ".join(str(port.get("port")) for port in service.get("ports", []))
    return f"{outside} -> {service.get('internal_port')}"


def _checks(config: Mapping[str, Any]) -> Iterator[str]:
    for service in config["services"]:
        for check in service.get("checks", []):
            yield f"port={service.get('internal_port')}, {_fields(check)}"
    for name, check in config["checks"].items():
        yield f"{name}: {_fields(check)}"


def _fields(values: Mapping[str, Any]) -> str:
    return ", ".join(f"{name}={value}" for name, value in values.items())
