"""What a request costs the emulator: a get, a list of 1,000 machines, a create and a wait, in small and large worlds.

Each server is a process of its own: the emulator, a bare handler of `aiohttp.web` that returns the same bytes, and,
with `--mudflaps PATH`, mudflaps, another emulator of this API, which is written in Go (`go build ./cmd/mudflaps` in a
clone of github.com/INTENTIUS/mudflaps). A get is compared with a handler of the indispensable steps, too: it checks the
token, finds the machine's text, draws the id of the request, logs and counts it. They take turns, round by round, with
the same requests. What is counted is the CPU of the server, the kernel's work for its sockets included. Gets and waits
are for machines all over the world.
"""

import json
import re
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from functools import partial
from pathlib import Path

from attrs import define, evolve, frozen

from benchmarks.parts import emulator_servers as servers
from benchmarks.parts.decoding_documents import machine
from benchmarks.parts.emulator_servers import Server, request
from benchmarks.shared.table import Goal, Spread, Table, rows
from benchmarks.shared.timing import compared, turns

CONFIG = {key: value for key, value in machine(1)["config"].items() if key != "mounts"}
EMULATOR, FLOOR, BARE, MUDFLAPS, DUMPS = "emulator", "indispensable steps", "bare aiohttp.web", "mudflaps", "json.dumps"
CPU, RATE, X_BARE, X_DUMPS = "us of CPU", "requests/s", "x bare", "x json.dumps"
# It shares no factor with the number of machines, so it leads through all of them.
STRIDE = 7919
GOALS = {
    "get": [
        Goal(
            f"{X_BARE} <= 1.6",
            "beyond the indispensable steps there are the checks of the host and for faults, replication, the clock of "
            "the world, its file, and values for the request and its response; all of it is Python's bytecode",
        )
    ],
    "list": [
        Goal(
            f"{X_DUMPS} <= 1.2",
            "in the large world each list is read for the first time, and each of its machines is written anew",
        )
    ],
}
TITLES = {
    "get": "get a machine",
    "first get": "get a machine for the first time since it changed",
    "list": "list {of_app:,} machines",
    "create": "create a machine",
    "wait": "wait",
}


@frozen(kw_only=True)
class Size:
    """The machines of a world, of which each app has so many, and the requests of each operation in a round."""

    machines: int
    of_app: int
    rounds: int
    requests: Mapping[str, int]

    @property
    def apps(self) -> list[str]:
        """The names of the apps."""
        return [f"app-{number}" for number in range(self.machines // self.of_app)]


USUAL = {"get": 1000, "first get": 300, "list": 10, "create": 400, "wait": 1000}
SIZES = tuple(Size(machines=size, of_app=1000, rounds=5, requests=USUAL) for size in (10_000, 100_000))
# Few enough, and still more than one slice of a CPU, which is not counted before it ends.
TINY = (Size(machines=6, of_app=3, rounds=1, requests=dict.fromkeys(USUAL, 10)),)


@define
class World:
    """A server, its apps, the paths of its machines, and how far the requests have gone through them."""

    server: Server
    apps: Sequence[str]
    machines: Sequence[str]
    place: int = 0

    def request(self, operation: str, turn: int) -> bytes:
        """Return a request, the turn-th of its round, for the next app or for another machine."""
        self.place += 1
        machine = self.machines[self.place * STRIDE % len(self.machines)]
        match operation:
            case "get":
                # The same ones in each round, all over the world.
                return request("GET", self.machines[(turn * STRIDE + 1) % len(self.machines)])
            case "first get":
                return request("GET", machine)
            case "wait":
                return request("GET", f"{machine}/wait?state=started")
            case "list":
                return request("GET", f"/apps/{self.apps[self.place % len(self.apps)]}/machines")
            case _:
                return request("POST", "/apps/created/machines", {"config": CONFIG})

    def measured(self, operation: str, number: int) -> tuple[float, float]:
        """Make so many requests; return the seconds of CPU of the server, and those that passed."""
        requests = [self.request(operation, turn) for turn in range(number)]
        return _measured(self.server.cpu, self.server.exchange(requests))


def _measured(cpu: Callable[[], float], work: Iterable[object]) -> tuple[float, float]:
    used, began = cpu(), time.perf_counter()
    deque(work, maxlen=0)
    passed = time.perf_counter() - began
    return cpu() - used, passed


def _dumped(value: object, number: int) -> tuple[float, float]:
    return _measured(time.process_time, (json.dumps(value).encode() for _ in range(number)))


def measure(*, tiny: bool, mudflaps: Path | None = None) -> Iterator[Table]:
    """Measure each operation in each world."""
    for size in TINY if tiny else SIZES:
        with ExitStack() as stack:
            ours = _filled(stack.enter_context(servers.emulator()), size)
            bodies = {each: next(ours.server.exchange([ours.request(each, 0)])) for each in size.requests}
            floor = evolve(ours, server=stack.enter_context(servers.floor(ours.machines, bodies["get"])))
            worlds = {EMULATOR: ours, BARE: evolve(ours, server=stack.enter_context(servers.bare(bodies)))}
            if mudflaps:  # the last to start: it closes connections that are idle for five seconds
                worlds[MUDFLAPS] = _filled(stack.enter_context(servers.mudflaps(mudflaps)), size)
            for operation, body in bodies.items():
                beside = {FLOOR: floor} if operation == "get" else {}
                yield _table(size, operation, {**worlds, **beside}, json.loads(body))


def _filled(server: Server, size: Size) -> World:
    """Have a server make the apps and their machines, and wait until all of them run and are healthy."""
    apps = [request("POST", "/apps", {"app_name": app, "org_slug": "personal"}) for app in (*size.apps, "created")]
    deque(server.exchange(apps), maxlen=0)
    machines = []
    for app in size.apps:
        creates = [request("POST", f"/apps/{app}/machines", {"config": CONFIG})] * size.of_app
        machines += [f"/apps/{app}/machines/{json.loads(body)['id']}" for body in server.exchange(creates)]
    deque(server.exchange(request("GET", f"{machine}/wait?state=started") for machine in machines), maxlen=0)
    # Until its checks have passed, time passes in a world.
    while re.search(rb'"(critical|warning)"', next(server.exchange([request("GET", machines[-1])]))):
        time.sleep(0.1)
    return World(server, size.apps, machines)


def _table(size: Size, operation: str, worlds: Mapping[str, World], value: object) -> Table:
    number = size.requests[operation]
    measures = {name: partial(world.measured, operation, number) for name, world in worlds.items()}
    measures[DUMPS] = partial(_dumped, value, number)
    cpu: dict[str, list[float]] = {name: [] for name in measures}
    passed: dict[str, list[float]] = {name: [] for name in measures}
    for name, measured, is_counted in turns(measures, size.rounds):
        used, seconds = measured()
        if is_counted:
            cpu[name].append(used)
            passed[name].append(seconds)
    figures = compared(cpu, CPU, 1e-6 * number, {X_BARE: BARE, X_DUMPS: DUMPS})
    for name in worlds:
        figures[name][RATE] = Spread.of(number / seconds for seconds in passed[name])
    return Table(
        title=f"{size.machines:,} machines in {len(size.apps)} apps: {TITLES[operation].format(of_app=size.of_app)}",
        subject="server",
        columns={CPU: ".0f", X_BARE: ".2f", X_DUMPS: ".2f", RATE: ",.0f"},
        rows=rows(figures, {EMULATOR: GOALS.get(operation, [])}),
    )
