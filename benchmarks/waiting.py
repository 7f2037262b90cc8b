"""10,000 machines waited for at once: a long poll for each against one list a second, and what flyasync chooses.

Each case is a client in a process of its own, so that memory and CPU are its alone, beside a stand-in for the API in
another one. All waits are placed first; then the machines come up, each at a random moment within some seconds. The
delay is the time from the moment that a machine is up until its caller knows.

The ways are flyasync's own, with its choice between them overruled: the same code asks and reads. The waits of one
machine each have a rate limit of their own, lists have one a second for each app, and both are kept. Cases of up to
1,000 machines run side by side, for they hardly use a CPU; larger ones run alone.

The real API speaks TLS, which costs a handshake and much memory for each connection. So 1,000 machines are waited for
over TLS as well, with a certificate that is made for it if there is an `openssl` to make it; 10,000 connections would
need some gigabytes.
"""

import json
import shutil
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from attrs import asdict

from benchmarks.parts.waiting_client import CHOICE, LISTS, WAYS, Case
from benchmarks.shared.children import output
from benchmarks.shared.table import Goal, Plot, Row, Spread, Table, percentile
from flyasync.api.machines.wait import DIRECT, most_pollers
from flyasync.transport.session import Timeouts

MANY = 1000
"""From so many waits on, what each holds stands out from the pages that a process takes at a time."""

ONE_APP = (10, DIRECT, 100, 1000, 10_000)
APPS = 100

LARGE = 10_000
AT_ONCE = Goal("delay, s <= 0.05", "the loop was busy with other work")
SLOW = "the stand-in or the client got too little of a CPU to write or to read each list within its second"
SOON = Goal("delay, s <= 1.0", SLOW)
ONE_LIST = Goal("lists/s <= 1.2", "the first list comes at once, which counts much in a short time")
LARGE_SOON = Goal("delay, s <= 1.5", SLOW)
HALF_A_CPU = Goal(
    "CPUs busy <= 0.5",
    "reading so many machines a second, and polling for the first and the last of each app, takes that long",
)
TOO_FEW_CALLS = "64 calls at a time list 1,000 apps less often than once a second"
VERY_LARGE_SOON = Goal("delay, s <= 1.5", TOO_FEW_CALLS)
LITTLE_MEMORY = Goal("KiB/wait <= 10", "a task, its frames and its timer are held for each wait")


def measure(*, tiny: bool) -> Iterator[Table]:
    """Measure each number of machines in each way."""
    with TemporaryDirectory() as directory:
        certificate = None if tiny else _certificate(Path(directory))
        cases = [Case(way=way, machines=4, over=0.2) for way in WAYS] if tiny else list(_cases(certificate))
        told = _run([case for case in cases if case.waits < MANY], at_once=8)
        told |= _run([case for case in cases if case.waits == MANY], at_once=3)
        told |= _run([case for case in cases if case.waits > MANY], at_once=1)
    yield table([(case, told[case]) for case in cases])


def _cases(certificate: str | None) -> Iterator[Case]:
    for machines in ONE_APP:
        yield from (Case(way=way, machines=machines) for way in WAYS)
    if certificate:
        yield from (Case(way=way, machines=MANY, certificate=certificate) for way in WAYS)
    # Long polls know of no apps: it would be the same figures again.
    for apps, over in ((APPS, 3.0), (10 * APPS, 30.0)):
        yield from (Case(way=way, apps=apps, machines=LARGE // APPS, over=over) for way in (LISTS, CHOICE))


def _certificate(directory: Path) -> str | None:
    """Make a certificate for this host alone; None where there is nothing to make it with."""
    if (openssl := shutil.which("openssl")) is None:
        return None
    key, file = directory / "key.pem", directory / "certificate.pem"
    words = "req -x509 -newkey rsa:2048 -nodes -days 2 -subj /CN=127.0.0.1 -addext subjectAltName=IP:127.0.0.1"
    subprocess.run(  # noqa: S603
        [openssl, *words.split(), "-keyout", key, "-out", file], check=True, stderr=subprocess.DEVNULL
    )
    file.write_text(file.read_text() + key.read_text())
    return str(file)


def _run(cases: Sequence[Case], *, at_once: int) -> dict[Case, Mapping[str, Any]]:
    with ThreadPoolExecutor(at_once) as pool:
        return dict(zip(cases, pool.map(_alone, cases), strict=True))


def _alone(case: Case) -> Mapping[str, Any]:
    trust = {"SSL_CERT_FILE": case.certificate, "no_proxy": "127.0.0.1"} if case.certificate else {}
    figures: Mapping[str, Any] = output("benchmarks.parts.waiting_client", json.dumps(asdict(case)), env=trust)
    return figures


def table(told: Sequence[tuple[Case, Mapping[str, Any]]]) -> Table:
    """Put what the clients told into a table."""
    return Table(
        title="Machines waited for at once, which come up one by one within 3 s (100,000 within 30 s)",
        subject="way",
        columns={
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
        },
        rows=[row(case, figures) for case, figures in told],
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
            series=lambda each: each.name if each.figures["apps"] == 1 else f"{each.name}, {each.figures['apps']} apps",
        ),
    )


def row(case: Case, told: Mapping[str, Any]) -> Row:
    """Reckon the figures of one case."""
    delays, requests = told["delays"], told["requests"]
    return Row(
        name=f"{case.way}, over TLS" if case.certificate else case.way,
        figures={
            "apps": case.apps,
            "machines": case.waits,
            "KiB/wait": told["bytes"] / 1024 if case.waits >= MANY else None,
            "CPU ms/wait": told["cpu"] / case.waits * 1000,
            "CPUs busy": told["waiting_cpu"] / told["waiting_seconds"],
            "delay, s": Spread.of(delays),
            "p99": percentile(delays, 99),
            "requests": sum(requests.values()),
            "lists/s": requests.get("list", 0) / told["seconds"],
            "sockets": told["sockets"],
        },
        goals=goals(case) if case.way == CHOICE else (),
    )


def goals(case: Case) -> Sequence[Goal]:
    """Say what the client's own choice is to reach."""
    if case.machines <= DIRECT:
        return (AT_ONCE,)
    if case.waits > LARGE:
        return (VERY_LARGE_SOON, LITTLE_MEMORY)
    soon = SOON if case.waits < LARGE else LARGE_SOON
    large = (HALF_A_CPU, LITTLE_MEMORY) if case.waits == LARGE else ()
    return (soon, *large, *((ONE_LIST,) if case.apps == 1 else ()))
