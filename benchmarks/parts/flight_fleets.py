"""Fleets that a deploy has not made: machines created by plain API calls, of whose configs no field may get lost."""

import asyncio
from collections.abc import Callable, Iterator, Mapping
from copy import deepcopy
from itertools import product
from typing import Any

import aiohttp
from attrs import Factory, evolve, frozen

from flyasync import Check, DeployBuilder, Emulator
from flyasync.emulator.core.records import MachineRecord
from flyasync.models.diff import written
from flyasync.models.image import without_digest

Json = dict[str, Any]
Path = tuple[str | int, ...]

REGIONS = ("iad", "lhr", "nrt")
EACH = 3
"""How many machines of the group each region has."""
OLD, NEW = "shop:1", "shop:2"


@frozen(kw_only=True)
class Fleet:
    """What is there: `member` is the config of each machine of the group, `beside` are configs of others by name.

    A deploy `states` something besides the image, which `adds` so much to a machine's config. Machines with a `volume`
    have one each; `stopped` is how many of each region are stopped.
    """

    member: Json
    beside: Mapping[str, Json] = Factory(dict)
    states: Callable[[DeployBuilder], DeployBuilder] = lambda builder: builder
    adds: Json = Factory(dict)
    volume: str | None = None
    stopped: int = 0

    async def settle(self, emulator: Emulator) -> "Found":
        """Create the fleet as another tool would, wait until all is well, and record what it is then.

        The last change comes just before the deploy, so that a list which lags does not show it.
        """
        headers = {"Authorization": f"Bearer {emulator.token}"}
        async with aiohttp.ClientSession(emulator.url, headers=headers, raise_for_status=True) as api:

            async def post(to: str, **body: Any) -> Any:
                async with api.post(f"/v1/apps/web/{to}", json=body) as response:
                    return await response.json() if response.content_length else None

            for region, number in product(REGIONS, range(EACH)):
                config = deepcopy(self.member)
                if self.volume:
                    volume = await post("volumes", name=self.volume, region=region, size_gb=3)
                    config["mounts"][0]["volume"] = volume["id"]
                await post("machines", name=f"{region}-{number}-old", region=region, config=config)
                await asyncio.sleep(1)  # as the limits demand
            members = list(emulator.world.machines.values())
            for name, config in self.beside.items():
                own = {**config, "standbys": [members[0].id]} if "standbys" in config else config
                await post("machines", name=name, region="iad", config=own, skip_launch=_is_apart(config))
                await asyncio.sleep(1)
            await asyncio.sleep(60)  # all checks have passed then
            for machine in members:
                if int(machine.name.split("-")[1]) < self.stopped:
                    await post(f"machines/{machine.id}/stop")
            await asyncio.sleep(10)
            for machine in members:
                await post(f"machines/{machine.id}/metadata/owner", value="shop")
        there = emulator.world.machines.items()
        return Found(self, {id_: evolve(each, config=deepcopy(each.config)) for id_, each in there})


@frozen
class Found:
    """A foreign fleet as it was before the deploy."""

    fleet: Fleet
    before: Mapping[str, MachineRecord]

    def harmed(self, emulator: Emulator) -> Iterator[str]:
        """Name what is otherwise than a deploy may leave it, whether it succeeds or not."""
        there = {each.id: each for each in alive(emulator)}
        for id_, before in self.before.items():
            now = there.get(id_)
            if now is None and not is_member(before):
                yield f"{before.name} is gone"
            if now and now.state != before.state and not (is_member(before) and before.state == "started"):
                yield f"{before.name} was {before.state} and is {now.state}"
        sibling = next(each for each in self.before.values() if is_member(each))
        for id_, now in there.items():
            # What it had, or its siblings, with what the deploy states if that has reached it.
            is_old = id_ in self.before
            was, came = (_values(each, is_old=is_old) for each in (self.before.get(id_, sibling), now))
            if tag(now) == NEW and in_group(now):
                was |= dict(_leaves({**self.fleet.adds, "image": NEW}))
            if differing := [path for path in {**was, **came} if was.get(path) != came.get(path)]:
                texts = (f"{written(path)} is {came.get(path)!r} instead of {was.get(path)!r}" for path in differing)
                yield f"{now.name}: {'; '.join(texts)}"


def alive(emulator: Emulator) -> list[MachineRecord]:
    """Return the machines that are not destroyed, nor about to be."""
    return [each for each in emulator.world.machines.values() if each.state not in {"destroying", "destroyed"}]


def in_group(machine: MachineRecord) -> bool:
    """Whether a machine is of the group that is deployed."""
    return (machine.config.get("metadata") or {}).get("fly_process_group") == "app"


def is_member(machine: MachineRecord) -> bool:
    """Whether a machine counts among those that are desired."""
    return in_group(machine) and not _is_apart(machine.config)


def tag(machine: MachineRecord) -> str:
    """Return the image of a machine without its digest."""
    return without_digest(str(machine.config.get("image")))


def _is_apart(config: Json) -> bool:
    return bool(config.get("standbys") or config.get("schedule"))


def _values(machine: MachineRecord, *, is_old: bool) -> dict[Path, Any]:
    """Return the values in a config, but for the deployer's own marks and the volume that a new machine has."""
    return {
        path: value
        for path, value in _leaves({**machine.config, "image": tag(machine)})
        if not (path[0] == "metadata" and str(path[-1]).startswith("flyasync_"))
        and (is_old or path[0] != "mounts" or path[-1] != "volume")
    }


def _leaves(value: Any, at: Path = ()) -> Iterator[tuple[Path, Any]]:
    """Yield each value inside, by its path; a list has its length too, and null is the same as nothing."""
    if isinstance(value, dict) and value:
        for key, inner in value.items():
            yield from _leaves(inner, (*at, key))
    elif isinstance(value, list):
        yield at, f"a list of {len(value)}"
        for number, inner in enumerate(value):
            yield from _leaves(inner, (*at, number))
    else:
        yield at, value


# The fleets

_RELEASE = {"fly_release_id": "kv0WzLjYyGxq5", "fly_release_version": "7", "fly_flyctl_version": "0.3.150"}
_METADATA = {"fly_platform_version": "v2", "fly_process_group": "app", **_RELEASE}
_GUEST = {"cpu_kind": "shared", "cpus": 2, "memory_mb": 1024}


def _config(**fields: Any) -> Json:
    """Return the config of a machine that flyctl has made, with these fields."""
    return {"image": OLD, "guest": _GUEST, "metadata": _METADATA, **fields}


_TLS = {"port": 443, "handlers": ["tls", "http"]}
_HEADERS = [{"name": "X-Forwarded-Proto", "values": ["https"]}]
_UP = {"type": "http", "port": 8080, "method": "GET", "path": "/up", "interval": "10s", "timeout": "2s"}
_TCP = {"protocol": "tcp", "internal_port": 8080, "autostart": True}
_WEB = {
    **_TCP,
    "autostop": "off",
    "min_machines_running": 1,
    "concurrency": {"type": "requests", "soft_limit": 20, "hard_limit": 25},
    "ports": [{"port": 80, "handlers": ["http"], "force_https": True}, {**_TLS, "tls_options": {"alpn": ["h2"]}}],
    "checks": [{**_UP, "grace_period": "15s", "headers": _HEADERS}],
}
WEB = Fleet(
    member=_config(
        env={"PRIMARY_REGION": "iad", "FLY_PROCESS_GROUP": "app", "PORT": "8080"},
        init={"cmd": ["bin/web", "--bind", "::"], "swap_size_mb": 512},
        restart={"policy": "on-failure", "max_retries": 10},
        stop_config={"timeout": "30s", "signal": "SIGTERM"},
        services=[_WEB, {"protocol": "udp", "internal_port": 5353, "ports": [{"start_port": 5300, "end_port": 5399}]}],
    ),
    beside={
        "worker-old": _config(metadata={**_METADATA, "fly_process_group": "worker"}),
        "console-old": {"image": "debian:12", "guest": _GUEST, "auto_destroy": True},
    },
    states=lambda builder: builder.with_service(internal_port=8080).with_env(Z="1"),
    adds={"env": {"Z": "1"}},
)
"""An app of flyctl's, with a worker and a console beside it; the deploy states a service that is there already."""

_WORK = {"exec": ["bin/worker", "--all"]}
WORKERS = Fleet(
    member=_config(
        env={"PRIMARY_REGION": "iad", "FLY_PROCESS_GROUP": "app", "QUEUE": "mail"},
        init={**_WORK, "tty": False},
        restart={"policy": "always"},
        checks={"alive": {"type": "http", "port": 9090, "path": "/alive", "interval": "5s", "grace_period": "8s"}},
        metrics={"port": 9091, "path": "/metrics"},
    ),
    beside={
        "standby-old": _config(
            env={"QUEUE": "mail", "FLY_STANDBY_FOR": "iad-0-old"}, init=_WORK, standbys=["the first"]
        ),
        "nightly-old": _config(init={"cmd": ["bin/report"]}, schedule="daily"),
    },
)
"""Workers without services, of which one has a standby, and a machine that the platform starts daily."""

VOLUMES = Fleet(
    member=_config(
        env={"PGDATA": "/data/pg"},
        metadata={"fly_process_group": "app", "role": "db"},
        init={},
        mounts=[{"path": "/data", "name": "data", "size_gb": 3, "extend_threshold_percent": 80, "encrypted": True}],
        services=[{"protocol": "tcp", "internal_port": 5432, "ports": [{"port": 5432, "handlers": ["pg_tls"]}]}],
    ),
    states=lambda builder: builder.with_env(PGDATA="/data/pg2"),
    adds={"env": {"PGDATA": "/data/pg2"}},
    volume="data",
)
"""Databases with a volume each, made by a script that knows the API."""

_DOZING = {**_TCP, "autostop": "stop", "min_machines_running": 0, "ports": [_TLS]}
_OFTEN = {"type": "tcp", "interval": "15s", "timeout": "10s", "grace_period": "5s"}
ASLEEP = Fleet(member=_config(init={}, services=[{**_DOZING, "checks": [_OFTEN]}]), stopped=1)
"""An app of which the proxy has stopped some machines, for there is little traffic."""

ALL_ASLEEP = evolve(ASLEEP, stopped=EACH)
"""An app without any traffic."""

ODD = Fleet(
    member=_config(
        guest={**_GUEST, "kernel_args": ["quiet"], "persist_rootfs": "never"},
        env={"EMPTY": "", "A.B": "dots"},
        metadata={"fly_process_group": "app", "": "nameless", "a.b": "dots"},
        init={"entrypoint": ["/init"], "kernel_args": ["ro"]},
        auto_destroy=False,
        dns={"skip_registration": True, "nameservers": ["fdaa::3"]},
        files=[{"guest_path": "/etc/a", "raw_value": "YQ==", "mode": 420}],
        processes=[{"cmd": ["sidecar"], "env": {"ONLY": "here"}, "user": "nobody"}],
        statics=[{"guest_path": "/srv", "url_prefix": "/static", "index_document": "index.html"}],
        checks={"port": {"type": "tcp", "port": 1, "interval": 10_000_000_000, "timeout": "1s", "kind": "readiness"}},
        services=[
            {"protocol": "tcp", "internal_port": 1, "ports": [{"port": 1001}], "force_instance_key": None},
            {"protocol": "tcp", "internal_port": 1, "ports": [{"port": 1002, "http_options": {"compress": True}}]},
        ],
        next_year={"nobody": ["knows", {"this": None}]},
    ),
    states=lambda builder: builder.with_metadata(team="shop").with_check("up", Check(type="tcp", port=1, interval=10)),
    adds={"metadata": {"team": "shop"}, "checks": {"up": {"type": "tcp", "port": 1, "interval": "10s"}}},
)
"""Machines with what few have: keys that no document names, two services of one port, empty names."""
