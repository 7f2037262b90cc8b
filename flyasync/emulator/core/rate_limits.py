"""The published limits, defined independently of the client: 1 per second per action and identifier, bursts of 3."""

from typing import Any

from attrs import define, frozen

from flyasync.emulator.core.operations import companions

# Tolerance for clock rounding, too small to give a client an advantage.
_EPSILON = 1e-6
# With more buckets than this, empty ones are dropped; an empty bucket is equivalent to a new one.
_KEPT = 10_000


@frozen
class OperationRate:
    """The sustained requests per second, and the burst."""

    per_second: float
    burst: int


# "One request per second, per action, with bursts of three; Get Machine five with bursts of ten": the documentation.
USUAL = OperationRate(1, 3)
RATES: dict[str, OperationRate] = {"getMachine": OperationRate(5, 10)}
# Not part of the Machines API, so no limit is published. flyctl does not repeat them after a 429.
UNLIMITED = frozenset(operation.action for operation in companions())
# Additional limits over all identifiers together: 100 app deletions per minute.
OVERALL: dict[str, OperationRate] = {"deleteApp": OperationRate(100 / 60, 100)}


@define
class OperationBucket:
    """A leaky bucket, stored as the time at which it will be empty."""

    rate: OperationRate
    empty_at: float = float("-inf")

    def wait(self, now: float) -> float:
        """Return the seconds until the next permit, 0 if one is available."""
        # A full bucket holds `burst` requests, so the next one fits when one of them has leaked.
        wait = self.empty_at - now - (self.rate.burst - 1) / self.rate.per_second
        return wait if wait > _EPSILON else 0.0

    def take(self, now: float) -> None:
        """Use one permit."""
        self.empty_at = max(self.empty_at, now) + 1 / self.rate.per_second


class OperationLimits:
    """One bucket per action and identifier. Seconds are real seconds at any speed of the emulator."""

    def __init__(self) -> None:
        self._buckets: dict[tuple[str, str], OperationBucket] = {}

    def __repr__(self) -> str:
        return f"<OperationLimits: {len(self._buckets)} buckets>"

    def wait(self, action: str, identifier: str, *, now: float) -> float:
        """Take a permit and return 0; if none is available, return the seconds until the next one."""
        if action in UNLIMITED:
            return 0.0
        buckets = [self._bucket((action, identifier), RATES.get(action, USUAL), now)]
        if action in OVERALL:
            buckets.append(self._bucket((action, ""), OVERALL[action], now))
        # All or none: a request that one bucket refuses must not take a permit from another.
        wait = max(bucket.wait(now) for bucket in buckets)
        if not wait:
            for bucket in buckets:
                bucket.take(now)
        return wait

    def as_json(self, *, now: float) -> list[dict[str, Any]]:
        """Return the buckets that are not empty, the fullest first; `used` is the number of permits in use."""
        found = [
            {
                "action": action,
                "identifier": identifier,
                "used": round((bucket.empty_at - now) * bucket.rate.per_second, 2),
                "burst": bucket.rate.burst,
                "per_second": round(bucket.rate.per_second, 2),
            }
            for (action, identifier), bucket in self._buckets.items()
            if bucket.empty_at > now
        ]
        return sorted(found, key=lambda each: each["used"] / each["burst"], reverse=True)

    def _bucket(self, key: tuple[str, str], rate: OperationRate, now: float) -> OperationBucket:
        if len(self._buckets) > _KEPT:
            self._buckets = {key: bucket for key, bucket in self._buckets.items() if bucket.empty_at > now}
        return self._buckets.setdefault(key, OperationBucket(rate))
