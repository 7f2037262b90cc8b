"""Machines that other tools made: whatever they have, a deploy changes of it only what is stated."""

import re
from collections import Counter
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import HealthCheck, given, reject, settings, strategies as st

from flyasync import Check, InvalidInput, MachineConfig, Port, Service
from flyasync.deploy.plan.fleet import Fleet
from flyasync.deploy.plan.image_digest import plan as plan_for
from flyasync.deploy.plan.plan import Create, Plan, Update
from flyasync.deploy.plan.spec import GROUP, DeploySpec
from flyasync.deploy.plan.strategies.bluegreen import BlueGreen
from flyasync.deploy.plan.strategies.canary import Canary
from flyasync.deploy.plan.strategies.immediate import Immediate
from flyasync.deploy.plan.strategies.rolling import Rolling
from flyasync.deploy.plan.strategy import Strategy
from flyasync.models.config import Init
from flyasync.models.guest import Guest
from flyasync.models.json.codec import structure, unstructure
from flyasync.models.machine import Machine
from tests.models.json.test_codec import objects

Leaves = dict[tuple[str, ...], Any]

# By what the items of a list are known, where they have names of their own.
KEYS = {
    "services": ("internal_port", "protocol"),
    "ports": ("port", "start_port", "end_port"),
    "mounts": ("path",),
    "files": ("guest_path",),
}
REFUSED = re.compile(
    r"has the public port \d+, which the machines' service \S+ \(public ports .*\) has too\. That"
    r"|the name and size of \S* are unknown"
)
MARKS = ("flyasync_", "fly_canary", "fly_bluegreen_deployment_tag", "fly_flyctl_bluegreen_launch_id")


def leaves(value: Any, path: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], Any]]:
    """Every value of a JSON tree that says something, by its path; items with names of their own stand under these."""
    if isinstance(value, dict):
        for key, item in value.items():
            name = key.lower() if key.lower() not in value else key  # Go takes keys in any case
            yield from leaves(item, (*path, name))
    elif isinstance(value, list) and any(isinstance(item, dict | None) for item in value):
        for name, item in zip(names(path[-1], value), value, strict=True):
            yield from leaves(item, (*path, name))
    elif value is not None and value != []:
        yield path, value


def names(field: str, items: list[Any]) -> list[str]:
    """Name items by what they are known by and by how often that was there before; others by their number."""
    found = [name(field, item) for item in items]
    return [
        str(number) if each is None else f"{each}#{found[:number].count(each)}" for number, each in enumerate(found)
    ]


def name(field: str, item: Any) -> str | None:
    if field not in KEYS or not isinstance(item, dict):
        return None
    known = {**{key.lower(): value for key, value in item.items()}, **item}  # of two spellings the right one counts
    return "/".join(str(known.get(key) or ("tcp" if key == "protocol" else None)) for key in KEYS[field])


@st.composite
def stated(draw: st.DrawFn, there: MachineConfig) -> MachineConfig:
    """What a deploy may state: some of it exists, some does not; services are those with distinct keys."""
    counts = Counter(service.internal_port for service in there.services or ())
    clear = (service for service in there.services or () if counts[service.internal_port] == 1 and is_clear(service))
    ports = [service.internal_port for service in clear if service.internal_port]
    parts: dict[str, st.SearchStrategy[Any]] = {
        "env": st.just({"Z": "1", **dict.fromkeys(list(there.env or {})[:1], "2")}),
        "metadata": st.just({"tier": "1"}),
        "init": st.just(Init(cmd=("serve",))),
        "guest": st.just(Guest(memory_mb=512)),
        "checks": st.just({"up": Check(type="tcp", port=1)}),
        "services": st.builds(
            lambda port: [Service(protocol="tcp", internal_port=port, autostart=True, ports=[Port(port=65001)])],
            st.sampled_from([*ports, 9090]),
        ),
    }
    return MachineConfig(image="app:v2", **draw(st.fixed_dictionaries({}, optional=parts)))


def is_clear(service: Service) -> bool:
    ports = [(port.port, port.start_port, port.end_port) for port in service.ports or ()]
    return len(set(ports)) == len(ports)


@pytest.mark.parametrize("strategy", [Rolling(), Canary(), BlueGreen(), Immediate()], ids=lambda each: each.name)
def test_only_what_is_stated_differs(strategy: Strategy) -> None:
    @settings(max_examples=50, deadline=None, suppress_health_check=list(HealthCheck))
    @given(st.data(), objects(MachineConfig))
    def check(data: st.DataObject, there: dict[str, Any]) -> None:
        old = structure({**there, "metadata": {**(there.get("metadata") or {}), GROUP: "app"}}, MachineConfig)
        new = data.draw(stated(old))
        plan = planned(old, new, strategy)
        for track in plan.tracks:
            for step in track.steps:
                if isinstance(step, Update | Create):
                    assert track.config is not None
                    compare(old, new, track.config, is_new=isinstance(step, Create))

    check()


def planned(old: MachineConfig, new: MachineConfig, strategy: Strategy) -> Plan:
    machine = Machine(id="m1", name="app-iad-1", state="started", region="iad", config=old)
    spec = DeploySpec(app="web", launch="v2", config=new, counts={"iad": 2}, goal=None, strategy=strategy)
    try:
        plan = plan_for(spec, Fleet("web", (machine,)))
    except InvalidInput as refused:
        assert REFUSED.search(str(refused)), refused  # noqa: PT017 - which of them is refused is the point
        reject()
    assert plan.creates or plan.updates
    return plan


def compare(old: MachineConfig, new: MachineConfig, desired: MachineConfig, *, is_new: bool) -> None:
    before, said, after = (dict(leaves(unstructure(each))) for each in (old, new, desired))
    if old.standbys and not is_new:
        said = {path: value for path, value in said.items() if path[0] != "services"}
    for path in before.keys() | after.keys() | said.keys():
        if path in said:
            assert after[path] == said[path], path
        elif before.get(path) != after.get(path):
            assert is_mark(path) or (is_new and is_of_one_machine(path, old)) or is_exclusive(path, new), path


def is_mark(path: tuple[str, ...]) -> bool:
    return path[0] == "metadata" and path[1].startswith(MARKS)


def is_exclusive(path: tuple[str, ...], new: MachineConfig) -> bool:
    """A size is replaced by a guest."""
    return path == ("size",) and new.guest is not None


def is_of_one_machine(path: tuple[str, ...], old: MachineConfig) -> bool:
    return (
        path[0] == "standbys"
        or path in {("guest", "host_dedication_id"), ("env", "FLY_STANDBY_FOR")}
        or (path == ("schedule",) and bool(old.schedule))
        or (path[0] == "mounts" and path[-1].lower() == "volume")  # a mount may have the key in two spellings
    )
