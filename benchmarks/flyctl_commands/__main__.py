"""Which commands of flyctl work against the emulator.

    python -m benchmarks.flyctl_commands --flyctl PATH [--only PATTERN] [--jobs N] [--json] [--all]

Each command that `flyctl --help` lists, at every depth, runs once against an emulator of its own with the published
limits, in a sandbox without a network: an app as flyctl deploys it, a machine that runs and one that is stopped, a
volume, a Postgres cluster and the rest. The mark of a command follows from its exit code and from what the emulator and
the sandbox have seen:

- works: exit code 0, or it served until it was ended, and it asked for nothing that is not served;
- needs WireGuard or a builder: it failed, and asked for a peer, a builder or the agent that holds the tunnels;
- not served: it failed, and asked for a field, a path or another host that the emulator is not; `why` names it;
- fails: none of these; `why` is its last line.
"""

import argparse
import asyncio
import json
import re
import shlex
import sys
import tempfile
from collections import Counter
from collections.abc import Mapping
from fnmatch import fnmatch
from pathlib import Path

from attrs import asdict, frozen

from benchmarks.flyctl_commands.arguments import ARGUMENTS, INPUTS, OTHERS
from benchmarks.flyctl_commands.sandbox import LONGEST, Ended, home, no_network, run
from benchmarks.flyctl_commands.stage import TOML, furnish
from benchmarks.flyctl_commands.tree import commands
from flyasync import Emulator

WORKS, TUNNEL, NOT_SERVED, FAILS = "works", "needs WireGuard or a builder", "not served", "fails"
# What a command asks for before it would open a tunnel or build an image.
_TUNNEL = re.compile(r"WireGuard|[Bb]uilder|depot")
_TUNNEL_WORDS = re.compile(r"wireguard|tunnel|fly agent|agent: |builder|docker", re.IGNORECASE)
# Commands that serve until they are ended.
SERVERS = frozenset({"agent run", "mcp inspect", "mcp proxy", "mcp server", "mcp wrap"})


@frozen(kw_only=True)
class Result:
    """What came of one command."""

    command: str
    mark: str
    why: str
    code: int | None
    words: str


async def main() -> int:
    """Run the commands and print their table."""
    options = _options()
    with tempfile.TemporaryDirectory(prefix="flyctl-help-") as directory:
        names = commands(options.flyctl, home(Path(directory), {}, "http://127.0.0.1:9"))
    chosen = [name for name in names if fnmatch(name, options.only)]
    slots = asyncio.Semaphore(options.jobs)

    async def one(name: str) -> Result:
        async with slots:
            return await result(options.flyctl, name)

    results = await asyncio.gather(*map(one, chosen))
    if options.json:
        print(json.dumps([asdict(each) for each in results], indent=1))
    else:
        _show(results)
    return 0


async def result(flyctl: Path, name: str) -> Result:
    """Run one command in a world and a sandbox of its own."""
    reached: list[str] = []
    with tempfile.TemporaryDirectory(prefix="flyctl-", ignore_cleanup_errors=True) as place:
        directory = Path(place)
        async with Emulator(boot=(0.1, 0.2), speed=_speed(name)) as emulator, no_network(reached) as proxy:
            things = await furnish(emulator)
            # Limits are per second: the command begins with full ones.
            await asyncio.sleep(2)
            # Some commands read the macaroon that they were given.
            tokens = dict.fromkeys(("FLY_ACCESS_TOKEN", "FLY_API_TOKEN"), things.header)
            environment = home(directory, emulator.environment() | tokens, proxy)
            (directory / "fly.toml").write_text(TOML)
            (directory / "chain.pem").write_text("-----BEGIN CERTIFICATE-----\n-----END CERTIFICATE-----\n")
            (directory / "key.pem").write_text("-----BEGIN PRIVATE KEY-----\n-----END PRIVATE KEY-----\n")
            words = shlex.split(ARGUMENTS.get(name, "").format(**asdict(things)))
            ended = await run(
                [str(flyctl), *name.split(), *words],
                directory,
                environment,
                INPUTS.get(name, ""),
                5.0 if name in SERVERS else LONGEST,
            )
            not_served = list(emulator.not_served())
    mark, why = judged(name, ended, not_served, reached)
    return Result(command=name, mark=mark, why=why, code=ended.code, words=ended.last_words)


def _speed(name: str) -> float:
    # A cluster and its first backup take a while; only machines have leases, which would expire too early.
    return 20.0 if name.startswith("mpg ") else 1.0


def judged(name: str, ended: Ended, not_served: list[str], reached: list[str]) -> tuple[str, str]:
    """Return the mark of a command, and why; `reached` are the hosts that it would have reached."""
    is_well = ended.code == 0 or (ended.code is None and name in SERVERS)
    # flyctl may hide that a request failed. A host that it does without only measures, or sets flags.
    if is_well and not not_served:
        return WORKS, ""
    asked = list(dict.fromkeys([*not_served, *reached]))
    if tunnels := [each for each in asked if _TUNNEL.search(each)]:
        return TUNNEL, ", ".join(tunnels)
    if asked:
        return NOT_SERVED, ", ".join(asked)
    if needed := next((needed for pattern, needed in OTHERS.items() if fnmatch(name, pattern)), None):
        return NOT_SERVED, needed
    words = ended.last_words or ("it did not end" if ended.code is None else "")
    return (TUNNEL if _TUNNEL_WORDS.search(words) else FAILS), words


def _show(results: list[Result]) -> None:
    width = max(len(each.command) for each in results)
    for each in results:
        print(f"{each.command:{width}}  {each.mark:28}  {each.why[:150]}".rstrip())
    counts: Mapping[str, int] = Counter(each.mark for each in results)
    print(f"\n{len(results)} commands: " + ", ".join(f"{counts[mark]} {mark}" for mark in counts))


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.flyctl_commands")
    parser.add_argument("--flyctl", type=Path, required=True, metavar="PATH", help="the binary of flyctl")
    parser.add_argument("--only", default="*", metavar="PATTERN", help="commands to run, such as 'machine *'")
    parser.add_argument("--jobs", type=int, default=4, metavar="N", help="commands at a time")
    parser.add_argument("--json", action="store_true", help="print JSON")
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(asyncio.run(main()))
