"""What a client may send that is cut off from the store of the limits: `python -m benchmarks.budget.shares`.

Eight clients send as much as they may, and one of them is cut off from the store that the others reach; in another run
it is killed. This is a simulation with the client's own arithmetic (`ratelimit.gcra`), of three policies:

- own share: a client that is cut off uses its share of the rate, which the store grants to the others too;
- nothing: it sends nothing until it is back;
- a lease of its share: each client renews a lease in the store every 2 s, when it is counted there anyway. The store
  keeps back the share of a lease that was not renewed until it expires after 60 s; so long the client uses the share.
"""

import heapq
from collections.abc import Iterator

from attrs import frozen

from benchmarks.shared.table import Row, Table, show
from flyasync.transport.ratelimit.gcra import State, share, take
from flyasync.transport.ratelimit.rates import Rate
from flyasync.transport.ratelimit.shared import CENSUS, SECOND

CLIENTS, WARM_UP = 8, 30.0
LEASE = 60.0
RESERVE = CLIENTS
POLICIES = OWN, NOTHING, LEASED = "own share", "nothing", "a lease of its share"
BEYOND, SENT, LOST = "beyond the burst", "sent while cut off", "lost by the others after a kill"


@frozen
class Sends:
    """The moments at which clients sent a request, in microseconds, and how many the one that is gone sent itself."""

    moments: list[int]
    alone: int


def sends(rate: Rate, policy: str, away: float, *, is_killed: bool = False) -> Sends:
    """Simulate clients of which the last one is cut off after a while, for `away` seconds, or is killed."""
    begins, ends = (round(each * SECOND) for each in (WARM_UP, WARM_UP + away))
    expires = begins + round(LEASE * SECOND)
    state, moments, alone, last = State(full_at=0, at=0), [], 0, begins // rate.interval
    turns = [(0, client) for client in range(CLIENTS)]
    if policy == LEASED:
        turns.append((begins + round(CENSUS * SECOND), RESERVE))
    while turns[0][0] < ends:
        now, client = heapq.heappop(turns)
        # 1. The client that is gone sends nothing, or in the intervals of its share.
        if client == CLIENTS - 1 and now >= begins:
            if is_killed or policy == NOTHING or (policy == LEASED and now >= expires):
                continue
            last, wait = share(now, interval=rate.interval, workers=CLIENTS, rank=client, after=last)
            moments.append(now + wait)
            alone += now + wait < ends
            heapq.heappush(turns, (now + wait + 1, client))
        # 2. A client that reaches the store; in place of one whose lease was not renewed, the store takes the permits.
        elif client != RESERVE or now < expires:
            state, wait = take(state, str(client), now, interval=rate.interval, room=rate.room)
            if not wait and client != RESERVE:
                moments.append(now)
            heapq.heappush(turns, (now + max(wait, 1), client))
    return Sends(sorted(each for each in moments if each < ends), alone)


def beyond(rate: Rate, moments: list[int]) -> float:
    """Return by how many requests the API's own bucket is exceeded at most."""
    level, before, peak = 0.0, 0, 0.0
    for at in moments:
        level, before = max(0.0, level - (at - before) / rate.interval) + 1, at
        peak = max(peak, level)
    return max(0.0, peak - rate.burst)


def tables() -> Iterator[Table]:
    """Compare the policies at a high rate and at the API's own."""
    for rate in (Rate(per_second=200, burst=50), Rate(per_second=1, burst=3, spare=0.5)):
        rows = []
        for away in (2.0, 10.0, 60.0, 300.0):
            full = len(sends(rate, OWN, away, is_killed=True).moments)
            for policy in POLICIES:
                cut, killed = sends(rate, policy, away), sends(rate, policy, away, is_killed=True)
                figures = {BEYOND: beyond(rate, cut.moments), SENT: cut.alone, LOST: full - len(killed.moments)}
                rows.append(Row(name=f"{away:g} s: {policy}", figures=figures))
        yield Table(
            title=f"One of {CLIENTS} clients cut off from the store; {rate.per_second:g}/s, bursts of {rate.burst}",
            subject="cut off for",
            columns={BEYOND: ",.1f", SENT: ",d", LOST: ",d"},
            rows=rows,
        )


if __name__ == "__main__":
    for table in tables():
        show(table)
