"""The output of a dry run: the plan and the config of new machines, without values of the environment."""

from collections.abc import Iterator, Mapping
from typing import Any

from flyasync.api.machines.create_once import LAUNCH
from flyasync.deploy.plan.plan import Create, Plan, TakeVolume, Target
from flyasync.deploy.plan.spec import DeploySpec
from flyasync.models.json.codec import unstructure

_OWN_METADATA = "flyasync_"


def plan_as_text(plan: Plan, spec: DeploySpec | None) -> str:
    """Return plan and config as text."""
    lines = [str(plan)]
    if config := config_as_json(plan, spec):
        words = dict(_config_words(config))
        width = max(map(len, words))
        lines.append("  each machine:" if plan.strategy is None else "  each new machine:")
        lines += (f"    {name:{width}}  {text}" for name, text in words.items())
    return "\n".join([*lines, "dry run: nothing was changed"])


def config_as_json(plan: Plan, spec: DeploySpec | None) -> dict[str, Any] | None:
    """Return the config of the machines that a plan creates as JSON, without values of its environment.

    It is None for a plan that creates none.
    """
    # An undo restores the config of each machine, so there is no single config to show.
    if spec is None or plan.strategy == "undo":
        return None
    # All machines that a plan creates in a group have the same config, so the first one is shown.
    serving = (track for track in plan.tracks if track.target is Target.SERVE)
    first = next((track for track in serving if any(isinstance(step, Create) for step in track.steps)), None)
    if first is None:
        return None
    data: dict[str, Any] = unstructure(first.config or spec.tagged)
    volume = next((unstructure(step.volume) for step in first.steps if isinstance(step, TakeVolume)), None)
    metadata = {key: value for key, value in data.get("metadata", {}).items() if not key.startswith(_OWN_METADATA)}
    return {
        "image": data.get("image"),
        "guest": data.get("guest"),
        "env": list(data.get("env", {})),
        "services": data.get("services", []),
        "checks": data.get("checks", {}),
        **({"volume": {key: value for key, value in volume.items() if value is not None}} if volume else {}),
        "metadata": {**metadata, LAUNCH: plan.launch},
    }


def _config_words(config: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """Yield the parts of a config with their names, each as one line."""
    ports: list[str] = []
    checks: list[str] = []
    for service in config["services"]:
        inside = service.get("internal_port")
        outside = ", ".join(str(port.get("port")) for port in service.get("ports", []))
        ports.append(f"{outside} -> {inside}")
        checks += (f"port={inside}, {_fields(check)}" for check in service.get("checks", []))
    checks += (f"{name}: {_fields(check)}" for name, check in config["checks"].items())
    yield "image", config["image"]
    yield "guest", _fields(config["guest"]) if config["guest"] else "the API's default"
    yield "env", ", ".join(config["env"]) or "none"
    yield "ports", "; ".join(ports) or "none"
    yield "checks", "; ".join(checks) or "none"
    if "volume" in config:
        yield "volume", _fields(config["volume"])
    yield "metadata", _fields(config["metadata"])


def _fields(values: Mapping[str, Any]) -> str:
    return ", ".join(f"{name}={value}" for name, value in values.items())
