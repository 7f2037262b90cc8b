"""The machines of a pool as one list shows them: which are free, claimed, kept or abandoned; pure but for chance."""

import random
from collections.abc import Iterable, Iterator, Mapping, Set as AbstractSet

from attrs import frozen

from flyasync.models.machine import Machine
from flyasync.pool.events import DestroyReason
from flyasync.pool.spec import DIGEST, KEPT_UNTIL, KEY, POOL, PoolSpec

# A free machine that needs fewer steps is claimed first. One that is just being stopped or created is free too.
_STEPS = {"started": 0, "suspended": 1, "stopped": 2}


def is_of_pool(machine: Machine, pool: str) -> bool:
    """Whether a machine belongs to the pool and exists."""
    return machine.metadata.get(POOL) == pool and machine.state != "destroyed"


@frozen
class Observed:
    """What one list shows. It lags, so what it says about a machine is read again under the machine's lease."""

    spec: PoolSpec
    machines: Mapping[str, Machine]
    # The names of all machines of the app: one that is not of the pool, or whose host does not respond, has a slot.
    names: AbstractSet[str]

    @classmethod
    def of(cls, spec: PoolSpec, listed: Iterable[Machine]) -> "Observed":
        """Select the machines of the pool from a list of all machines of the app with their leases."""
        existing = {each.name: each for each in listed if each.state != "destroyed"}
        return cls(
            spec, {name: each for name, each in existing.items() if is_of_pool(each, spec.name)}, existing.keys()
        )

    def vacant(self) -> list[str]:
        """Return the slots without a machine."""
        return [name for name in self.spec.slots if name not in self.names]

    def of_key(self, key: str) -> Machine | None:
        """Return the machine that is claimed or kept for a key."""
        return next((each for each in self.machines.values() if each.metadata.get(KEY) == key and each.is_alive), None)

    def free(self, region: str | None = None) -> list[Machine]:
        """Return the machines that anyone may claim: those in the region first, then those that start fastest."""
        free = [each for each in self._unclaimed() if self.is_usable(each)]
        # In random order among equals, so that processes seldom try the same one.
        return sorted(free, key=lambda each: (each.region != region, _STEPS.get(each.state, 3), random.random()))  # noqa: S311

    def is_usable(self, machine: Machine, key: str | None = None) -> bool:
        """Whether a claim may have the machine: it was claimed for the key before, or is free and up to date.

        A machine that an operator has cordoned is not for new claims.
        """
        if not (is_of_pool(machine, self.spec.name) and machine.is_alive and machine.host_is_ok):
            return False
        if KEY in machine.metadata:
            return machine.metadata[KEY] == key
        is_current = machine.metadata.get(DIGEST) == self.spec.digest and machine.name in self.spec.slots
        return is_current and not machine.cordoned

    def is_due(self, machine: Machine, reason: DestroyReason, now: float) -> bool:
        """Whether to destroy a machine for a reason, given that no other client holds its lease.

        `now` is the unix time by the API's clock. Each claim holds the lease, so a machine with a key and without a
        lease was left by a dead holder, unless it is kept for the key.
        """
        if not is_of_pool(machine, self.spec.name) or machine.state == "destroying":
            return False
        match reason:
            case DestroyReason.DRAINED:
                return True
            case DestroyReason.EVICTED:
                return not self.is_usable(machine)
            case DestroyReason.ABANDONED:
                return KEY in machine.metadata and not (machine.is_alive and kept_until(machine) > now)
            case _:
                return KEY not in machine.metadata

    def kept(self) -> list[Machine]:
        """Return the machines that are kept for a key or abandoned, those with the least time left first."""
        return sorted((each for each in self._unclaimed() if KEY in each.metadata), key=kept_until)

    def outdated(self) -> list[Machine]:
        """Return the free machines that no claim may have: of another config, beyond `max`, or failed."""
        return [each for each in self._unclaimed() if KEY not in each.metadata and not self.is_usable(each)]

    def claimed(self) -> list[Machine]:
        """Return the machines whose lease is held."""
        return [each for each in self.machines.values() if each.lease]

    def _unclaimed(self) -> Iterator[Machine]:
        return (each for each in self.machines.values() if not each.lease and each.state != "destroying")


def kept_until(machine: Machine) -> float:
    """Return the unix time until which the machine is kept for its key; 0 if it is not, or if that is not a number."""
    try:
        return float(machine.metadata.get(KEPT_UNTIL, 0))
    except ValueError:
        return 0.0
