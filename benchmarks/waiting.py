"""10,000 machines waited for at once: a long poll for each against one list a second, and what flyasync chooses.

Each case is a client in a process of its own, so that memory and CPU are its alone, beside a stand-in for the API in
another one. All waits are placed first; then the machines come up, each at a random moment within some seconds. The
delay is the time from the moment that a machine is up until its caller knows.

The ways are flyasync's own, with its choice between them overruled: the same code asks and reads. The waits of one
machine each have a rate limit of their own, lists have one a second for each app, and both are kept. Cases of up to
1,000 machines run side by side, for they hardly use a CPU; larger ones run alone.

The real API speaks TLS, which costs a handshake and much memory for each connection. So 1,000 machines are waited for
over TLS as well, with a certificate that is made for it; 10,000 connections would need some gigabytes.
"""

import asyncio
import gc
import os
import time
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from resource import RLIMIT_NOFILE, getrlimit, setrlimit
from tempfile import TemporaryDirectory

import trustme
from attrs import define, field, frozen

from benchmarks.parts.waiting_server import World, stand_in
from benchmarks.shared.children import processes
from benchmarks.shared.servers import Server, serving
from benchmarks.shared.table import Figure, Goal, Plot, Row, Spread, Table, percentile
from benchmarks.shared.usage import resident, sockets
from flyasync import FlyClient
from flyasync.api.machines.poller import survey
from flyasync.api.machines.wait import DIRECT, Waits, most_pollers, most_readers
from flyasync.transport.session import Timeouts

POLLS, LISTS, CHOICE = "a long poll each", "a list a second", "flyasync's choice"
WAYS = {POLLS: (10**6, 10**6), LISTS: (0, 0), CHOICE: (DIRECT, most_pollers(Timeouts().polls))}
"""How many waits of one app may poll, and how many in all."""
MANY = 1000
"""From so many waits on, what each holds stands out from the pages that a process takes at a time."""
LARGE = 10_000
COLUMNS = {
    "apps": ",d",
    "machines": ",d",
    "KiB/wait": ".1f",
    "CPU ms/wait": ".2f",
    "CPUs busy": ".2f",
    "delay, s": ".3f",
    "p99": ".3f",
    "requests": ",d",
    "lists/s": ".1f",
    "sockets": ",d",
}

SLOW = "the stand-in or the client got too little of a CPU to write or to read each list within its second"
TOO_FEW_CALLS = "64 calls at a time list 1,000 apps less often than once a second"
ONE_LIST = Goal("lists/s <= 1.2", "the first list comes at once, which counts much in a short time")
HALF_A_CPU = Goal(
    "CPUs busy <= 0.5",
    "reading so many machines a second, and polling for the first and the last of each app, takes that long",
)
LITTLE_MEMORY = Goal("KiB/wait <= 10", "a task, its frames and its timer are held for each wait")


@frozen(kw_only=True)
class Case:
    """So many machines of so many apps, all waited for at once in one way; they come up within `over` seconds.

    With a `certificate`, a file that has its key too, the connections are made over TLS.
    """

    way: str
    apps: int = 1
    machines: int = 10
    over: float = 3.0
    certificate: str | None = None

    @property
    def waits(self) -> int:
        return self.apps * self.machines

    @property
    def goals(self) -> Sequence[Goal]:
        """What the client's own choice is to reach."""
        if self.way != CHOICE:
            return ()
        if self.machines <= DIRECT:
            return (Goal("delay, s <= 0.05", "the loop was busy with other work"),)
        if self.waits > LARGE:
            return (Goal("delay, s <= 1.5", TOO_FEW_CALLS), LITTLE_MEMORY)
        soon = Goal("delay, s <= 1" if self.waits < LARGE else "delay, s <= 1.5", SLOW)
        large = (HALF_A_CPU, LITTLE_MEMORY) if self.waits == LARGE else ()
        return (soon, *large, *((ONE_LIST,) if self.apps == 1 else ()))


def measure(*, tiny: bool) -> Iterator[Table]:
    """Measure each number of machines in each way."""
    with TemporaryDirectory() as directory:
        cases = [Case(way=way, machines=4, over=0.2) for way in WAYS] if tiny else list(_cases(Path(directory)))
        figures: dict[Case, dict[str, Figure]] = {}
        for at_once, sizes in ((8, range(MANY)), (3, range(MANY, MANY + 1)), (1, range(MANY + 1, 10**6))):
            group = [case for case in cases if case.waits in sizes]
            with processes(at_once) as pool:
                figures |= zip(group, pool.map(run, group), strict=True)
    yield table({case: figures[case] for case in cases})


def _cases(directory: Path) -> Iterator[Case]:
    for machines in (10, DIRECT, 100, MANY, LARGE):
        yield from (Case(way=way, machines=machines) for way in WAYS)
    authority, file = trustme.CA(), directory / "certificate.pem"
    authority.issue_cert("127.0.0.1", key_type=trustme.KeyType.RSA).private_key_and_cert_chain_pem.write_to_path(file)
    authority.cert_pem.write_to_path(directory / "authority.pem")
    os.environ |= {"SSL_CERT_FILE": str(directory / "authority.pem"), "no_proxy": "127.0.0.1"}  # for the clients
    yield from (Case(way=way, machines=MANY, certificate=str(file)) for way in WAYS)
    # Long polls know of no apps: it would be the same figures again.
    for apps, over in ((100, 3.0), (1000, 30.0)):
        yield from (Case(way=way, apps=apps, machines=100, over=over) for way in (LISTS, CHOICE))


def table(figures: Mapping[Case, Mapping[str, Figure]]) -> Table:
    """Put the cases into a table."""
    return Table(
        title="Machines waited for at once, which come up one by one within 3 s (100,000 within 30 s)",
        subject="way",
        columns=COLUMNS,
        rows=[
            Row(f"{case.way}, over TLS" if case.certificate else case.way, each, case.goals)
            for case, each in figures.items()
        ],
        notes=[
            "CPU and memory are the client's: memory while all are waiting, from 1,000 waits on, and `CPUs busy` while",
            "machines come up. A poll tells at once, and each costs the same; over TLS that is a handshake, and what",
            "such a connection holds. A list tells half a second later, and costs little more for many.",
            f"So up to {DIRECT} waits of an app poll, {most_pollers(Timeouts().polls)} in all; lists serve more.",
            "Goals: no delay to speak of for few; for many the half second that a list a second takes on average, and",
            "as long again to read 10,000; half a CPU and 100 MB for 10,000 waits, whose program has other work to do.",
        ],
        plot=Plot(
            title="CPU of a wait, by how many machines of one app are waited for",
            along="machines",
            up="milliseconds",
            column="CPU ms/wait",
            series=lambda row: row.name if row.figures["apps"] == 1 else f"{row.name}, {row.figures['apps']} apps",
        ),
    )


# The client, in a process of its own


@define
class Moment:
    """What this process had used by then."""

    at: float = field(factory=lambda: asyncio.get_running_loop().time())
    cpu: float = field(factory=time.process_time)
    memory: int = field(factory=resident)


def run(case: Case) -> dict[str, Figure]:
    """Wait for all, beside a stand-in of the API, and return the figures."""
    hard = getrlimit(RLIMIT_NOFILE)[1]
    setrlimit(RLIMIT_NOFILE, (hard, hard))  # the stand-in inherits it
    with serving(stand_in, case.certificate) as api:
        return asyncio.run(_run(case, api))


async def _run(case: Case, api: Server) -> dict[str, Figure]:
    # As many slots for long polls as the case takes, where it does not leave the choice to the client.
    timeouts = Timeouts(polls=case.waits) if case.way == POLLS else Timeouts()
    async with FlyClient("token", base_url=api.url, timeout=timeouts) as fly:
        machines, (direct, pollers) = fly.machines, WAYS[case.way]
        ask = machines.get, partial(survey, fly._caller), machines.wait_once  # noqa: SLF001
        # All that is replaced is the choice between polls, lists and single reads.
        readers = most_readers(Timeouts().calls)
        machines._waits = Waits(*ask, direct=direct, pollers=pollers, readers=readers)  # noqa: SLF001
        return await _measured(case, api, fly)


async def _measured(case: Case, api: Server, fly: FlyClient) -> dict[str, Figure]:
    """Place all waits, and have the machines come up."""
    idle = sockets()
    # Everything is done once before, so that only what each wait costs is measured.
    await api.ask(World.begin, 1, 50, 0.1)
    await api.ask(World.go)
    await fly.machines.list("app-0")
    await asyncio.gather(*(fly.machines.wait("app-0", f"{number:014x}") for number in range(50)))
    await api.ask(World.begin, case.apps, case.machines, case.over)
    reached: dict[str, float] = {}

    async def wait(number: int) -> None:
        name = f"{number:014x}"
        await fly.machines.wait(f"app-{number // case.machines}", name)
        reached[name] = asyncio.get_running_loop().time()

    gc.collect()
    began = Moment()
    waits = [asyncio.create_task(wait(number)) for number in range(case.waits)]
    await asyncio.sleep(1)
    while case.way == POLLS and (await api.ask(World.asked))["wait"] < case.waits:  # noqa: ASYNC110
        await asyncio.sleep(0.1)  # until the last poll is held
    ready, most = Moment(), 0

    async def watch() -> None:
        nonlocal most
        while True:
            most = max(most, sockets() - idle)
            await asyncio.sleep(1)

    watching = asyncio.create_task(watch())
    up = await api.ask(World.go)
    await asyncio.gather(*waits)
    end = Moment()
    watching.cancel()
    delays = sorted(reached[name] - moment for name, moment in up.items())
    return {**figures(case, (began, ready, end), delays, await api.ask(World.asked)), "sockets": most}


def figures(case: Case, moments: Sequence[Moment], delays: Sequence[float], asked: Counter[str]) -> dict[str, Figure]:
    """Reckon the figures of a case: by its beginning, when all waits are placed, and its end."""
    began, ready, end = moments
    return {
        "apps": case.apps,
        "machines": case.waits,
        "KiB/wait": (ready.memory - began.memory) / case.waits / 1024 if case.waits >= MANY else None,
        "CPU ms/wait": (end.cpu - began.cpu) / case.waits * 1000,
        "CPUs busy": (end.cpu - ready.cpu) / (end.at - ready.at),
        "delay, s": Spread.of(delays),
        "p99": percentile(delays, 99),
        "requests": asked.total(),
        "lists/s": asked["list"] / (end.at - began.at),
    }
