"""Failing deploys, recorded and run again: `python -m benchmarks.replay [--deploys N]`.

Each deploy is one of `benchmarks.flight`, a strategy on a bad day, recorded against an emulator with its faults. It is
run again from its recording alone, and must end with the same report, except for times and ids. Every recording is
searched for the token and for all secret values that the deploy has used.
"""

import base64
import json
import sys
import time
import zlib
from concurrent.futures import ProcessPoolExecutor
from itertools import count, islice
from pathlib import Path
from tempfile import TemporaryDirectory

from attrs import frozen

from benchmarks.flight import STRATEGIES, deployed, scene
from benchmarks.parts.flight_days import DAYS
from benchmarks.shared.options import options
from flyasync import FlyClient, RetryPolicy
from flyasync.cli.deploy.replay_run import Replay
from flyasync.testing import run_virtual

TOKEN = "fo1_the_token_of_the_flights"  # noqa: S105 - of no account
SECRETS = {"DATABASE_URL": "postgres://shop:hunter2hunter2@db.internal/shop", "API_KEY": "kx7-93nfo2-8sd72jk"}
Case = tuple[str, str, int]


@frozen
class Result:
    """What came of one failed deploy and its replay; `faults` are what must not be."""

    case: str
    exchanges: int
    size: int
    seconds: float
    reveals: bool
    faults: list[str]


async def record(strategy: str, day_name: str, seed: int, path: Path) -> tuple[bool, str]:
    """Record one deploy; return whether it failed, with a report, and its token."""
    day = DAYS[day_name]
    async with scene(strategy, day, seed) as (emulator, _, builder, _):
        token = emulator.token if "tokens" in day.options else TOKEN
        retry = RetryPolicy(seed=seed)
        async with FlyClient(token, base_url=emulator.url, retry=retry, timeout=10.0, record=path) as client:
            report, _ = await deployed(builder.with_env(SECRETS), client, day, seed)
        return report is not None and not report.ok, token


def one(case: Case) -> Result | None:
    """Record a deploy and run it again, each in a loop of its own; None if it did not fail."""
    with TemporaryDirectory() as folder:
        path = Path(folder, "deploy.jsonl")
        has_failed, token = run_virtual(record(*case, path))
        if not has_failed:
            return None
        text = path.read_text()
        found = [each for each in (token, *SECRETS.values(), "hunter2") if each in uncompressed(text)]
        start = time.perf_counter()
        replayed = run_virtual(Replay.of(path).run())
        seconds = time.perf_counter() - start
    faults = [f"{len(found)} secrets in the recording"] if found else []
    if replayed.differences != []:
        faults += [f"diverged {replayed.divergence}, played {replayed.played} of {replayed.recorded}"]
        faults += [str(replayed.error)] if replayed.error else (replayed.differences or ["no report"])[:5]
    return Result("/".join(map(str, case)), replayed.recorded, len(text), seconds, bool(found), faults)


def uncompressed(text: str) -> str:
    """Return a recording with its compressed bodies as JSON, in which every value can be found."""
    lines = [json.loads(line) for line in text.splitlines()]
    packed = [value for line in lines for name, value in line.items() if name.endswith("_zlib")]
    return "\n".join([text, *(zlib.decompress(base64.b64decode(value)).decode() for value in packed)])


def main(deploys: int, only: str = "") -> int:
    """Record and replay until so many deploys have failed; return how many replays were not the same."""
    every = ((strategy, day, seed) for seed in count() for day in DAYS for strategy in STRATEGIES)
    cases = iter([named(only)]) if only else every
    results: list[Result] = []
    begun = time.perf_counter()
    with ProcessPoolExecutor() as pool:
        while len(results) < deploys and (batch := list(islice(cases, max(8, deploys // 2)))):
            results += [each for each in pool.map(one, batch) if each][: deploys - len(results)]
    wrong = [each for each in results if each.faults]
    for each in wrong:
        print(f"{each.case}: {'; '.join(each.faults)}")
    mean = sum(each.seconds for each in results) / max(1, len(results))
    print(
        f"{len(results) - len(wrong)} of {len(results)} replays of failing deploys end with the same report; "
        f"{sum(each.reveals for each in results)} recordings with a secret; "
        f"{sum(each.exchanges for each in results)} exchanges in {sum(each.size for each in results) / 1e6:.1f} MB; "
        f"a replay takes {mean:.2f} s; {time.perf_counter() - begun:.0f} s in all"
    )
    return len(wrong)


def named(text: str) -> Case:
    """Return a case by its name, such as `rolling/500/3`."""
    strategy, day, seed = text.split("/")
    return strategy, day, int(seed)


if __name__ == "__main__":
    sys.exit(bool(main(**vars(options(__doc__, deploys=200, only="")))))
