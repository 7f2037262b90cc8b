"""The pools of an app as `flyasync pool` shows them, and the pool that it works on."""

import json
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any, TextIO

from attrs import frozen

from flyasync.api.client import FlyClient
from flyasync.cli.shared.exit_codes import FAILED, OK
from flyasync.cli.shared.output import Message, note
from flyasync.cli.shared.tables import Columns, cells, write_table
from flyasync.errors import InvalidInput
from flyasync.models.config import MachineConfig
from flyasync.models.json.codec import Mismatch, structure
from flyasync.models.machine import Machine
from flyasync.pool.keeper import Reconciled
from flyasync.pool.pool import MachinePool
from flyasync.pool.spec import DIGEST, KEPT_UNTIL, KEY

MANY = 10_000
"""The most machines of a pool whose `max` is not given."""

COLUMNS: Columns = {
    "POOL": "name",
    "READY": "ready",
    "CLAIMED": "claimed",
    "KEPT": "kept",
    "FAILED": "failed",
    "MACHINES": lambda pool: len(pool.machines),
    "CONFIGS": "configs",
    "REGIONS": lambda pool: ", ".join(f"{region} {count}" for region, count in sorted(pool.regions.items())),
}


@frozen
class Pool:
    """The machines of one pool, as a list shows them."""

    name: str
    machines: Sequence[Machine]

    @property
    def claimed(self) -> int:
        """The number of machines whose lease is held."""
        return sum(each.lease is not None for each in self.machines)

    @property
    def kept(self) -> int:
        """The number of machines that have a key and are not claimed: kept for it, or left by a dead holder."""
        return sum(each.lease is None and KEY in each.metadata for each in self.machines)

    @property
    def ready(self) -> int:
        """The number of machines that are free."""
        return sum(each.lease is None and KEY not in each.metadata and each.is_alive for each in self.machines)

    @property
    def failed(self) -> int:
        """The number of machines that have failed or are being destroyed."""
        return sum(not each.is_alive for each in self.machines)

    @property
    def configs(self) -> int:
        """The number of different configs that the machines were created with."""
        return len({each.metadata.get(DIGEST) for each in self.machines})

    @property
    def regions(self) -> Counter[str]:
        """The number of machines by region."""
        return Counter(each.region for each in self.machines)


@frozen
class Pools:
    """The pools of an app."""

    app: str
    pools: Sequence[Pool]
    code: int = OK

    @property
    def data(self) -> dict[str, Any]:
        """The pools with their machines as JSON."""
        return {"app": self.app, "pools": [_as_json(each) for each in self.pools]}

    def write(self, out: TextIO) -> None:
        """Write a row for each pool."""
        write_table(out, list(COLUMNS), [cells(each, COLUMNS) for each in self.pools])
        if not self.pools:
            note(f"no machine of {self.app} belongs to a pool")


def _as_json(pool: Pool) -> dict[str, Any]:
    machines = [
        {
            "id": each.id,
            "name": each.name,
            "region": each.region,
            "state": each.state,
            "is_claimed": each.lease is not None,
            "claimed_until": each.lease and each.lease.expires_at,
            "key": each.metadata.get(KEY),
            "kept_until": each.metadata.get(KEPT_UNTIL),
            "config": each.metadata.get(DIGEST),
        }
        for each in sorted(pool.machines, key=lambda each: each.name)
    ]
    counts = {"ready": pool.ready, "claimed": pool.claimed, "kept": pool.kept, "failed": pool.failed}
    return {"name": pool.name, **counts, "regions": dict(pool.regions), "machines": machines}


def unknown_pool(fly: FlyClient, app: str, name: str) -> MachinePool:
    """Return a pool whose config is not known: to it, each free machine is of another config, and is left alone."""
    return MachinePool(fly, app, MachineConfig(image="unknown"), ready=0, max=MANY, name=name)


def read_config(file: Path) -> MachineConfig:
    """Return the config in a file; raises InvalidInput."""
    try:
        return structure(json.loads(file.read_bytes()), MachineConfig)
    except OSError as error:
        raise InvalidInput(f"{file} cannot be read: {error.strerror}") from error
    except (ValueError, Mismatch) as error:
        raise InvalidInput(f"{file} is not the JSON of a machine config: {error}") from error


def done_text(done: Reconciled) -> Message:
    """Return what was done as text and JSON; the exit code shows whether a part of it failed."""
    destroyed = [f"destroyed {count} that were {reason}" for reason, count in sorted(done.destroyed.items())]
    for failure in done.failures:
        note(failure.for_command)
    data = {
        "created": done.created,
        "destroyed": dict(done.destroyed),
        "failures": [failure.for_command for failure in done.failures],
    }
    text = "; ".join([f"created {len(done.created)}", *destroyed])
    return Message(text, data, FAILED if done.failures else OK)
