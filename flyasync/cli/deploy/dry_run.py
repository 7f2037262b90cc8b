"""What a dry run shows: the plan, and what each new machine would be; of its environment only the names."""

from collections.abc import Iterator, Mapping
from typing import Any

from flyasync.api.machines.create_once import LAUNCH
from flyasync.deploy.plan.plan import Create, Plan, TakeVolume, Target, Track
from flyasync.deploy.plan.spec import DeploySpec, DesiredVolume
from flyasync.models.json.codec import unstructure

_OURS = "flyasync_"


def outlined(plan: Plan, wanted: DeploySpec | None) -> str:
    """Give plan and config as text."""
    return "\n".join([str(plan), *_each_machine(plan, wanted), "dry run: nothing was changed"])


def _each_machine(plan: Plan, wanted: DeploySpec | None) -> Iterator[str]:
    config = config_as_json(plan, wanted)
    if config is None:
        return
    words = dict(_words(config))
    width = max(map(len, words))
    yield "  each machine:" if plan.strategy is None else "  each new machine:"
    yield from (f"    {name:{width}}  {text}" for name, text in words.items())


def config_as_json(plan: Plan, wanted: DeploySpec | None) -> dict[str, Any] | None:
    """Give the config of machines to be made as JSON, without the values of its environment; None if there are none."""
    if wanted is None or (made := _first_made(plan)) is None:
        return None
    data: dict[str, Any] = unstructure(made.config or wanted.tagged)
    taken = next((step.wanted for step in made.steps if isinstance(step, TakeVolume)), None)
    volume = {"volume": _volume(taken)} if taken else {}
    return {
        "image": data.get("image"),
        "guest": data.get("guest"),
        "env": list(data.get("env", {})),
        "services": data.get("services", []),
        "checks": data.get("checks", {}),
        **volume,
        "metadata": {**_without_marks(data.get("metadata", {})), LAUNCH: plan.launch},
    }


def _first_made(plan: Plan) -> Track | None:
    """Return a track that makes a machine, if any does; all that a plan makes of a group are alike."""
    if plan.strategy == "undo":
        return None  # what was there before is made again with configs of its own
    making = (track for track in plan.tracks if track.target is Target.SERVE)
    return next((track for track in making if any(isinstance(step, Create) for step in track.steps)), None)


def _volume(wanted: DesiredVolume) -> dict[str, Any]:
    return {key: value for key, value in unstructure(wanted).items() if value is not None}


def _without_marks(metadata: Mapping[str, str]) -> dict[str, str]:
    return {key: value for key, value in metadata.items() if not key.startswith(_OURS)}


def _words(config: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    yield "image", config["image"]
    yield "guest", _fields(config["guest"]) if config["guest"] else "the API's default"
    yield "env", ", ".join(config["env"]) or "none"
    yield "ports", "; ".join(map(_ports, config["services"])) or "none"
    yield "checks", "; ".join(_checks(config)) or "none"
    if "volume" in config:
        yield "volume", _fields(config["volume"])
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
