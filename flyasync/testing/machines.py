"""Machines for tests, as the API returns them."""

from typing import Any

from flyasync.models.json.codec import structure
from flyasync.models.machine import Machine


def mock_machine(**overrides: Any) -> Machine:
    """Return a started machine in iad; `overrides` are keys of the API's JSON, and unknown keys are kept.

    Raises a ValueError that names the path if a value is not of the type that the API sends.
    """
    shown = {
        "id": "1857156b526dd8",
        "name": "test-machine",
        "state": "started",
        "region": "iad",
        "instance_id": "01HEPA330HZ37A78TK080NAK1M",
        "private_ip": "fdaa:0:1:a7b:195:e229:8038:2",
        "host_status": "ok",
        "config": {"image": "nginx", "guest": {"cpu_kind": "shared", "cpus": 1, "memory_mb": 256}},
        "created_at": "2025-01-01T00:00:00Z",
        "updated_at": "2025-01-01T00:00:00Z",
        "events": [],
        "checks": [],
    }
    return structure({**shown, **overrides}, Machine)
