"""The days that `benchmarks.flight` flies through: the fleet that a deploy finds, and what goes wrong meanwhile."""

from collections.abc import Mapping, Sequence
from fnmatch import fnmatch
from typing import Any

from attrs import Factory, frozen

from benchmarks.parts.flight_fleets import ALL_ASLEEP, ASLEEP, EACH, ODD, VOLUMES, WEB, WORKERS, Fleet
from flyasync import AcceptedToken, Fault
from flyasync.emulator.core.faults import LIMITED, MACHINE


@frozen(kw_only=True)
class Day:
    """The faults in force, and the fleet that the deploy finds: ours, unless another tool has made it.

    `options` are those of the emulator, also in force while the fleet is made. `grace` is the grace period in seconds
    of the check that the deploy states for our fleet, and `count` how many machines each region shall have. Just before
    the deploy another client destroys so many machines of each region as it `loses`.
    """

    faults: Sequence[Fault] = ()
    options: Mapping[str, Any] = Factory(dict)
    fleet: Fleet | None = None
    grace: int = 0
    count: int = EACH + 1
    loses: int = 0
    is_full: bool = False
    is_leased: bool = False
    is_cancelled: bool = False

    @property
    def may_leave_leases(self) -> bool:
        """Whether a lease may stay until it expires: one of another client, or one whose release may fail."""
        of_requests = (each for each in self.faults if each.does not in {*MACHINE, "repeat", *LIMITED})
        fails = any(fnmatch("machinesReleaseLease", each.action) for each in of_requests)
        return self.is_leased or "tokens" in self.options or fails


def _requests(does: str, **options: Any) -> list[Fault]:
    """Strike a quarter of all requests about machines: creates, updates, waits, leases, lists."""
    return [Fault(does=does, action="*achine*", probability=0.25, **options)]


def _new(does: str, **options: Any) -> list[Fault]:
    """Strike machines that run the new image."""
    return [Fault(does=does, image="*:2*", **options)]


def _late(seconds: float) -> dict[str, Any]:
    """Have lists lag, also while the fleet is made."""
    return {"faults": [Fault(does="stale", seconds=seconds)]}


_NO_MEMORY = "insufficient memory available to fulfill request on the current host"
_HOST_FULL = {"error": f"aborted: could not reserve resource for machine: {_NO_MEMORY}"}
FULL = [Fault(does="refuse", action="updateMachine", probability=0.5, status=409, body=_HOST_FULL)]
NO_PASS = _new("checks_never_pass", times=1)
TWICE = [*_requests("repeat", seconds=0.5), *_requests("repeat_after", seconds=2.0)]
VOLUMES_TWICE = [
    Fault(does="repeat", action="createVolume", seconds=0.5, probability=0.5),
    Fault(does="lose_answer", action="createVolume", probability=0.2),
]

DAYS: dict[str, Day] = {
    "none": Day(),
    # What becomes of requests.
    "429": Day(faults=_requests("refuse", status=429, body={"error": "rate limit exceeded"})),
    "408 after the work": Day(faults=_requests("refuse_after", status=408, body={"error": "deadline_exceeded: slow"})),
    "500": Day(faults=_requests("refuse", status=500, body={"error": "internal"})),
    "502 before": Day(faults=_requests("refuse", status=502, body=None)),
    "cut before": Day(faults=_requests("cut")),
    "cut after": Day(faults=_requests("cut_after")),
    "answers lost": Day(faults=_requests("lose_answer")),
    "sent twice": Day(faults=_requests("repeat", seconds=0.5)),
    "sent again later": Day(faults=_requests("repeat_after", seconds=2.0)),
    "late and twice": Day(options=_late(3), faults=TWICE),
    "lists 3 s late": Day(options=_late(3)),
    "lists 8 s late": Day(options=_late(8)),
    "nodes lag": Day(options={"lag": (1.0, 6.0)}),
    "lists late, no pass": Day(options=_late(8), faults=NO_PASS),
    "token expires": Day(faults=[Fault(does="token_expired", after=60)]),
    "token of another app": Day(faults=[Fault(does="token_forbidden", action="updateMachine", after=1)]),
    "token with a term": Day(options={"tokens": [AcceptedToken("fm2_a", expires=60.0)]}),
    # What becomes of machines.
    "region full": Day(is_full=True),
    "region retired": Day(faults=[Fault(does="retire_region", region="lhr")]),
    "image just pushed": Day(options={"image_lag": (3.0, 9.0)}),
    "manifest unknown": Day(faults=[Fault(does="manifest_unknown", probability=0.25)]),
    "tag moves": Day(faults=[Fault(does="move_tag", image="*:2", after=2, times=1)]),
    "reachable": Day(options={"addresses": ["shared_v4", "v6"]}),
    "one does not listen": Day(options={"addresses": ["v4"]}, faults=_new("not_listening", times=1)),
    "host full": Day(faults=FULL),
    "never starts": Day(faults=_new("stay_starting", times=1)),
    "crashes": Day(faults=_new("crash", seconds=1.0, exit_code=3, probability=0.3)),
    "check never passes": Day(faults=NO_PASS),
    "passes after grace": Day(grace=25),
    "slow startup": Day(options={"startup": (5.0, 30.0)}),
    "one passes late": Day(grace=5, faults=_new("checks_pass_late", seconds=28.0, times=1)),
    "stays warning": Day(faults=_new("checks_stay_warning", times=1)),
    "one flaps": Day(faults=_new("checks_flap", seconds=4.0, times=1)),
    "all flap": Day(faults=_new("checks_flap", seconds=4.0)),
    "one turns critical": Day(faults=_new("checks_turn_critical", seconds=8.0, times=1)),
    "all turn critical": Day(faults=_new("checks_turn_critical", seconds=2.5)),
    # What others do.
    "lease held": Day(is_leased=True),
    "cancelled": Day(is_cancelled=True),
    "web": Day(fleet=WEB),
    "web, no pass": Day(fleet=WEB, faults=NO_PASS),
    "web, late and twice": Day(fleet=WEB, options=_late(3), faults=TWICE),
    "web, answers lost": Day(fleet=WEB, faults=_requests("lose_answer")),
    "web, host full": Day(fleet=WEB, faults=FULL),
    "web, cancelled": Day(fleet=WEB, is_cancelled=True),
    "workers": Day(fleet=WORKERS),
    "workers, no pass": Day(fleet=WORKERS, faults=NO_PASS),
    "workers, lists late": Day(fleet=WORKERS, options=_late(8)),
    "volumes": Day(fleet=VOLUMES),
    "volumes, crashes": Day(fleet=VOLUMES, faults=_new("crash", seconds=1.0, exit_code=3, probability=0.1)),
    "volumes linger": Day(fleet=VOLUMES, options={"linger": (3.0, 20.0)}, loses=1),
    "volumes stay claimed": Day(fleet=VOLUMES, faults=[Fault(does="volume_lingers", seconds=300.0)], loses=1),
    "volumes twice": Day(fleet=VOLUMES, options=_late(3), faults=[*TWICE, *VOLUMES_TWICE]),
    "asleep": Day(fleet=ASLEEP),
    "asleep, no pass": Day(fleet=ASLEEP, faults=NO_PASS),
    "all asleep": Day(fleet=ALL_ASLEEP, count=EACH),
    "all asleep, no pass": Day(fleet=ALL_ASLEEP, count=EACH, faults=NO_PASS),
    "all asleep, cancelled": Day(fleet=ALL_ASLEEP, count=EACH, is_cancelled=True),
    "odd": Day(fleet=ODD),
    "odd, no pass": Day(fleet=ODD, faults=NO_PASS),
}
