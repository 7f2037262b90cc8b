"""Lists of machines as the API sends them, about 2 kB each, no two alike; and the same with keys that nobody knows."""

import json
from typing import Any

UNKNOWN = "from_the_future"
_MAPS = {"env", "metadata", "labels"}  # objects with keys of the user's own
_REGIONS = ("iad", "lhr", "nrt", "fra", "syd")


def listed(count: int, *, with_unknown: bool = False) -> bytes:
    """Return the response to a list of so many machines; `with_unknown`, each object in it has an unknown key."""
    machines = [machine(number) for number in range(count)]
    return json.dumps([_strange(one) for one in machines] if with_unknown else machines, separators=(",", ":")).encode()


def machine(number: int) -> dict[str, Any]:
    """Return a running machine with one service, two checks and one volume."""
    version, event = f"01HEPA330HZ37A78TK{number:08d}", {"id": f"01HEPA{number:08d}"}
    moment, check = 1699408350300 + number * 1000, {"status": "passing", "updated_at": "2023-11-08T01:53:00.5Z"}
    return {
        "id": f"{0x3287000000000 + number * 7919:014x}",
        "name": f"aged-thunder-{number}",
        "state": "started",
        "region": _REGIONS[number % len(_REGIONS)],
        "instance_id": version,
        "version": version,
        "private_ip": f"fdaa:0:1:a7b:{number % 9999}:e229:8038:2",
        "host_status": "ok",
        "cordoned": False,
        "created_at": "2023-11-08T01:52:30Z",
        "updated_at": f"2023-11-08T01:52:{number % 60:02d}.123Z",
        "image_ref": {
            "registry": "registry.fly.io",
            "repository": "web",
            "tag": "deployment-01HEPA",
            "digest": f"sha256:{number:064x}",
            "labels": {"org.opencontainers.image.version": "22.04"},
        },
        "config": _config(number),
        "events": [
            {**event, "type": "start", "status": "started", "source": "flyd", "timestamp": moment + 1},
            {**event, "type": "launch", "status": "created", "source": "user", "timestamp": moment},
        ],
        "checks": [
            {"name": "servicecheck-00-http-8080", "output": "200 OK", **check},
            {"name": "alive", "output": "Success", **check},
        ],
    }


def _config(number: int) -> dict[str, Any]:
    service = {
        "protocol": "tcp",
        "internal_port": 8080,
        "autostop": True,
        "autostart": True,
        "min_machines_running": 1,
        "ports": [
            {"port": 80, "handlers": ["http"], "force_https": True},
            {"port": 443, "handlers": ["http", "tls"]},
        ],
        "concurrency": {"type": "requests", "soft_limit": 200, "hard_limit": 250},
        "checks": [
            {"type": "http", "method": "GET", "path": "/health"}
            | {"interval": "15s", "timeout": "2s", "grace_period": "5s"},
        ],
    }
    return {
        "image": "registry.fly.io/web:deployment-01HEPA",
        "auto_destroy": False,
        "guest": {"cpu_kind": "shared", "cpus": 1, "memory_mb": 256},
        "init": {"cmd": ["serve", "--port", "8080"], "tty": False},
        "env": {"PRIMARY_REGION": "iad", "LOG_LEVEL": "info", "SHARD": str(number)},
        "metadata": {
            "fly_platform_version": "v2",
            "fly_process_group": "app",
            "fly_release_id": f"release-{number}",
            "fly_release_version": "12",
        },
        "restart": {"policy": "on-failure", "max_retries": 10},
        "services": [service],
        "checks": {"alive": {"type": "tcp", "port": 8080, "interval": "15s", "timeout": "10s"}},
        "mounts": [{"volume": f"vol_{number:014x}", "path": "/data", "name": "data", "size_gb": 10, "encrypted": True}],
    }


def _strange(value: Any, key: str = "") -> Any:
    if isinstance(value, list):
        return [_strange(item) for item in value]
    if not isinstance(value, dict) or key in _MAPS:
        return value
    # The checks of a config are a map by name; those of a service and of a machine are lists.
    inside = {name: _strange(item, name) for name, item in value.items()}
    return inside if key == "checks" else {**inside, UNKNOWN: {"level": 9}}
