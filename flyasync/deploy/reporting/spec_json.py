"""A deploy spec as JSON, without values that may be secret."""

from typing import Any, Literal

from attrs import evolve

from flyasync.deploy.plan.spec import DeploySpec, Fallback, Goal, Requirement
from flyasync.deploy.plan.strategies.launch import Launch
from flyasync.deploy.plan.strategies.registry import strategies
from flyasync.deploy.plan.strategy import Strategy
from flyasync.deploy.plan.verification import Verification
from flyasync.models.diff import written
from flyasync.models.json.codec import register, structure, unstructure
from flyasync.models.redaction import contains_secret, is_secret

RELEASE_COMMAND = "release.command"
"""The path of a release command that is redacted."""

SEED_COMMAND = "seed.command"
"""The path of a seed command that is redacted."""

VERIFICATION = "verification"
"""The path of a verification that is not written: a function, or a command that is redacted."""


_STATED_BY_FILES = {("env", "FLY_PROCESS_GROUP"), ("env", "PRIMARY_REGION")}
"""Variables that a fly.toml states for each group: the names of a group and of a region, which are not secret."""

OF_GROUP = ": "
"""What stands between the name of a further group and the path of a value in its config."""


def write_spec(spec: DeploySpec) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return a spec as JSON without values that may be secret, and these values by their paths."""
    data = unstructure(spec)
    data["config"], redacted = without_secrets(data["config"])
    for group in data["also"]:
        group["config"], of_group = without_secrets(group["config"])
        redacted |= {f"{group['group']}{OF_GROUP}{path}": value for path, value in of_group.items()}
    # The counts of a planned spec include those that it keeps, and those of new groups.
    data.pop("keeps_counts")
    if not data["public_ips"]:
        del data["public_ips"]
    for group in (data, *data["also"]):
        # Nothing that is in doubt was removed by the plan that was saved.
        obsolete = {
            "stated_regions",
            "per_region",
            "in_doubt",
            *(() if group["creates_group"] else ("creates_group", "if_new")),
        }
        for name in (*obsolete, *(name for name in ("source", "adopts") if not group[name])):
            group.pop(name)
        group["volume"] = group["volume"] and _stated(group["volume"])
    if not data["also"]:
        del data["also"]
    if not spec.origin.marks:
        del data["origin"]
    if not spec.keeps_config:
        del data["keeps_config"]
    data["unresolved"] = None  # the text of an error, which may contain the image
    for name, path, command in (("release", RELEASE_COMMAND, spec.release), ("seed", SEED_COMMAND, spec.seed)):
        if command is not None and contains_secret(command.command):
            data[name] = None
            redacted[path] = str(command)
    check = spec.verification
    if check is not None and (check.command is None or check.holds_a_secret):
        data["verification"] = None
        redacted[VERIFICATION] = check.command
    for name in ("seed", "verification", "max_machines", "pause_after"):  # journals of earlier versions lack these keys
        if data[name] is None:
            del data[name]
    return data, redacted


def write_spec_for_replay(spec: DeploySpec) -> dict[str, Any]:
    """Return a whole spec as JSON, as it was before it was planned; it contains values that may be secret.

    What a recording makes of it contains none. A verification by a function is written as a command with its name.
    """
    data: dict[str, Any] = unstructure(spec)
    if spec.verification is not None and spec.verification.command is None:
        data["verification"]["command"] = str(spec.verification)
    data["unresolved"] = None  # the text of an error
    return data


def read_spec(data: Any) -> DeploySpec:
    """Parse a spec that this version or an earlier one wrote; raises Mismatch or InvalidInput."""
    return structure(data, DeploySpec)


def _stated(volume: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in volume.items() if value is not None or name == "if_lost"}


def without_secrets(config: dict[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return a config as JSON without values that may be secret, and these values by their paths."""
    redacted: dict[str, Any] = {}
    return _public((), config, redacted), redacted


def _public(path: tuple[str | int, ...], value: Any, redacted: dict[str, Any]) -> Any:
    """Return a part of a config without values that may be secret, and add these to `redacted`."""
    if not value or not isinstance(value, dict | list):
        return value
    items = list(value.items() if isinstance(value, dict) else enumerate(value))
    public = []
    for key, item in items:
        here = (*path, key)
        # Objects and lists of objects are decided item by item; a list of texts is one value.
        has_inside = isinstance(item, dict) or (isinstance(item, list) and any(isinstance(each, dict) for each in item))
        if (item and has_inside) or item is None or here in _STATED_BY_FILES or not is_secret(here, item):
            public.append((key, _public(here, item, redacted)))
        else:
            redacted[written(here)] = item
    return dict(public) if isinstance(value, dict) else [item for _, item in public]


# Fields whose type is not enough, because it allows several kinds of value.


def _read_strategy(data: Any) -> Strategy:
    if data is None:
        return Launch()
    return structure({key: value for key, value in data.items() if key != "name"}, strategies()[data["name"]])


register(
    Strategy,
    read=_read_strategy,
    write=lambda strategy: None if strategy.only_adds else {"name": strategy.name, **unstructure(strategy)},
)
register(
    Verification,
    read=lambda data: Verification.of(data["command"], timeout=data["timeout"]),
    write=lambda verification: {"command": verification.command, "timeout": verification.timeout},
)
register(
    Requirement,
    read=lambda data: evolve(Requirement.of(data["regions"]), is_stated=data.get("stated") is True),
    write=lambda required: {"regions": required.regions, **({"stated": True} if required.is_stated else {})},
)
register(Fallback, read=lambda data: tuple(data) if isinstance(data, list) else data)
register(Goal | Literal["checked"], read=lambda data: data)
