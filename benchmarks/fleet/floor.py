"""The floor: how long apps take if nothing but the published limits, and the boots, holds them up.

No two apps share a bucket, so one app is enough to reckon with. Its lists are within their burst, and each machine's
wait has a bucket of its own; the creates stand in line, in the bucket of their app. A burst of them leaves at once and
the others one after the other at the rate, so the last one leaves `(machines - burst) / rate` seconds after the first,
and then its machine boots. That is one round; all apps take `apps / at_once` rounds.

Nothing can be faster than what the `published` limits allow. A client leaves a part of each burst unused as a margin
against jitter, and so `kept` is what is to be expected of it.

With bounds of the `travel` of a request, the floor also counts what goes one after the other: the slowest of the
creates that leave last, the boot, and one response after the last boot, which alone shows that its machine has not
ended since. Whoever is through with the response of a wait, which was sent before, does without that one. What a run
takes beyond the floor is what it asks before its first create, and whatever else there is to wait for.
"""

from attrs import frozen

from flyasync.transport.ratelimit.rates import Limits


@frozen(kw_only=True)
class Floor:
    """The fewest seconds that a run can take: by the published limits, and by those that the client keeps to."""

    published: float
    kept: float
    one_request: float = 0.0
    """Seconds for one more request of each app, before its first create."""


def floor(apps: int, *, at_once: int, machines: int, boot: float, travel: tuple[float, float] = (0.0, 0.0)) -> Floor:
    """Reckon for so many apps of so many machines, each of which boots for `boot` seconds."""

    def slowest(requests: int) -> float:
        """Return how long the slowest of them is expected to travel, if all times between the bounds are alike."""
        return travel[0] + (travel[1] - travel[0]) * requests / (requests + 1)

    rounds, rate = max(1.0, apps / at_once), Limits().rate("machines.create")
    published, kept = (last(machines, burst=burst, per_second=rate.per_second) for burst in (rate.burst, rate.usable))
    rest = slowest(at_once * (machines if machines <= rate.burst else 1)) + boot + slowest(at_once)
    return Floor(published=rounds * (published + rest), kept=rounds * (kept + rest), one_request=slowest(at_once))


def last(requests: int, *, burst: float, per_second: float) -> float:
    """Return after how many seconds the last of so many requests leaves a bucket that was full."""
    return max(0.0, (requests - burst) / per_second)
