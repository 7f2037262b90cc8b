"""The machines of a pool as one list shows them: which are free, claimed, kept or abandoned; pure."""

from collections.abc import Iterable, Iterator, Mapping

from attrs import frozen

from flyasync.models.machine import Machine
from flyasync.pool.spec import DIGEST, KEPT_UNTIL, KEY, POOL, OnRelease, PoolSpec

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

    @classmethod
    def of(cls, spec: PoolSpec, listed: Iterable[Machine]) -> "Observed":
        """Select the machines of the pool from a list of the app's machines with their leases."""
        return cls(spec, {each.name: each for each in listed if is_of_pool(each, spec.name)})

    def vacant(self) -> list[str]:
        """Return the slots without a machine."""
        return [name for name in self.spec.slots() if name not in self.machines]

    def of_key(self, key: str) -> Machine | None:
        """Return the machine that is claimed or kept for a key."""
        return next((each for each in self.machines.values() if each.metadata.get(KEY) == key and each.is_alive), None)

    def free(self, region: str | None = None) -> list[Machine]:
        """Return the machines that anyone may claim: those in the region first, then those that start fastest."""
        free = [each for each in self._unclaimed() if self.is_usable(each)]
        return sorted(free, key=lambda each: (each.region != region, _STEPS.get(each.state, 3)))

    def is_usable(self, machine: Machine, key: str | None = None) -> bool:
        """Whether a claim may have the machine: it was claimed for the key before, or is free and up to date."""
        if not machine.is_alive:
            return False
        if KEY in machine.metadata:
            return machine.metadata[KEY] == key
        return machine.metadata.get(DIGEST) == self.spec.digest and machine.name in self.spec.slots()

    def kept(self) -> list[Machine]:
        """Return the machines that are kept for a key, those with the least time left first."""
        return sorted((each for each in self._unclaimed() if each.is_alive and KEY in each.metadata), key=kept_until)

    def outdated(self) -> list[Machine]:
        """Return the free machines that no claim may have: of another config, beyond `max`, or failed."""
        return [each for each in self._unclaimed() if KEY not in each.metadata and not self.is_usable(each)]

    def claimed(self) -> list[Machine]:
        """Return the machines whose lease is held."""
        return [each for each in self.machines.values() if each.lease]

    def _unclaimed(self) -> Iterator[Machine]:
        return (each for each in self.machines.values() if not each.lease and each.state != "destroying")


def is_abandoned(machine: Machine, spec: PoolSpec, now: float) -> bool:
    """Whether a machine that has a key, and whose lease is held by nobody else, may be recycled.

    `now` is the unix time by the API's clock. Each claim holds the lease, so without one the holder has died, unless
    the machine is kept for its key.
    """
    return KEY in machine.metadata and (spec.on_release is not OnRelease.KEEP or kept_until(machine) <= now)


def kept_until(machine: Machine) -> float:
    """Return the unix time until which the machine is kept for its key; 0 if it is not, or if that is not a number."""
    try:
        return float(machine.metadata.get(KEPT_UNTIL, 0))
    except ValueError:
        return 0.0
