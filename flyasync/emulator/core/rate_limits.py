"""The published limits, stated a second time on purpose: 1 a second for each action and identifier, bursts to 3."""

from attrs import define, frozen

# Room for the rounding of clocks, far below anything a client could gain from.
_EPSILON = 1e-6
# With more buckets than this, those that have emptied are dropped; an empty bucket is as good as a new one.
_KEPT = 10_000


@frozen
class OperationRate:
    """A number of requests a second in the long run, and a number at once."""

    per_second: float
    burst: int


# "One request per second, per action, with bursts of three; Get Machine five with bursts of ten": the documentation.
USUAL = OperationRate(1, 3)
RATES: dict[str, OperationRate] = {"getMachine": OperationRate(5, 10)}
# Not of the Machines API, so no limit is published.
UNLIMITED = frozenset({"graphql", "listLogs"})
# Limits that come on top, over all identifiers together: 100 app deletions a minute.
OVERALL: dict[str, OperationRate] = {"deleteApp": OperationRate(100 / 60, 100)}


@define
class OperationBucket:
    """A leaky bucket kept as one number: the time at which it would be empty again."""

    rate: OperationRate
    empty_at: float = float("-inf")

    def wait(self, now: float) -> float:
        """Return the seconds until the next permit, 0 when there is one."""
        # A full bucket holds `burst` requests, so one fits as soon as the time to leak the others has come.
        wait = self.empty_at - now - (self.rate.burst - 1) / self.rate.per_second
        return wait if wait > _EPSILON else 0.0

    def take(self, now: float) -> None:
        """Use one permit."""
        self.empty_at = max(self.empty_at, now) + 1 / self.rate.per_second


class OperationLimits:
    """One bucket for each action and identifier. Seconds are real ones at any speed of the emulator."""

    def __init__(self) -> None:
        self._buckets: dict[tuple[str, str], OperationBucket] = {}

    def __repr__(self) -> str:
        return f"<OperationLimits: {len(self._buckets)} buckets>"

    def wait(self, action: str, identifier: str, *, now: float) -> float:
        """Take a permit and return 0, or return the seconds until there is one and take none."""
        if action in UNLIMITED:
            return 0.0
        buckets = [self._bucket((action, identifier), RATES.get(action, USUAL), now)]
        if action in OVERALL:
            buckets.append(self._bucket((action, ""), OVERALL[action], now))
        # All or none: a request that one bucket refuses must not use a permit of another.
        wait = max(bucket.wait(now) for bucket in buckets)
        if not wait:
            for bucket in buckets:
                bucket.take(now)
        return wait

    def _bucket(self, key: tuple[str, str], rate: OperationRate, now: float) -> OperationBucket:
        if len(self._buckets) > _KEPT:
            self._buckets = {key: bucket for key, bucket in self._buckets.items() if bucket.empty_at > now}
        return self._buckets.setdefault(key, OperationBucket(rate))
