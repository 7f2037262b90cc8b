"""Which commands of flyctl work against the emulator.

    python -m benchmarks.flyctl_commands --flyctl PATH [--only PATTERN] [--jobs N] [--json]

PATTERN chooses commands, such as 'machine *'; N run at a time.
Each command that `flyctl --help` lists, at every depth, runs once against an emulator of its own with the published
limits, in a sandbox without a network: an app as flyctl deploys it, a machine that runs and one that is stopped, a
volume, a Postgres cluster and the rest. The mark of a command follows from its exit code and from what the emulator and
the sandbox have seen:

- works: exit code 0, or it served until it was ended, and it asked for nothing that is not served;
- needs WireGuard or a builder: it failed, and asked for a peer, a builder or the agent that holds the tunnels;
- not served: it failed, and asked for a field, a path or another host that the emulator is not; `why` names it;
- fails: none of these; `why` is its last line.
"""

import asyncio
import json
import re
import shlex
import subprocess
import sys
import tomllib
from collections import Counter
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from fnmatch import fnmatch
from pathlib import Path
from tempfile import TemporaryDirectory

from attrs import asdict, frozen

from benchmarks.flyctl_commands.stage import furnish, home
from benchmarks.shared.options import options
from benchmarks.shared.programs import Ended, proxied, run
from flyasync import Emulator

GIVEN = tomllib.loads(Path(__file__).with_name("arguments.toml").read_text())
ARGUMENTS: dict[str, str] = GIVEN["arguments"] | {
    name: words for words, names in GIVEN["same"].items() for name in names
}
WORKS, TUNNEL, NOT_SERVED, FAILS = "works", "needs WireGuard or a builder", "not served", "fails"
LONGEST = 90.0
"""Seconds until a command is ended. A deploy asks a public DNS server for about half of them."""
# What a command asks for before it would open a tunnel or build an image.
_TUNNEL = re.compile(r"WireGuard|[Bb]uilder|depot")
_TUNNEL_WORDS = re.compile(r"wireguard|tunnel|fly agent|agent: |builder|docker", re.IGNORECASE)
# Commands that serve until they are ended.
SERVERS = frozenset({"agent run", "mcp inspect", "mcp proxy", "mcp server", "mcp wrap"})
# A row of a list of commands: two spaces, the name, and its description.
_ROW = re.compile(r"^  ([a-z][a-z0-9-]*) +\S", re.MULTILINE)


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
    given = options(__doc__, flyctl=Path, only="*", jobs=4, json=False)
    with TemporaryDirectory(prefix="flyctl-help-") as directory:
        names = commands(given.flyctl, home(Path(directory), {}, "http://127.0.0.1:9"))
    slots = asyncio.Semaphore(given.jobs)

    async def one(name: str) -> Result:
        async with slots:
            return await result(given.flyctl, name)

    results = await asyncio.gather(*(one(name) for name in names if fnmatch(name, given.only)))
    if given.json:
        print(json.dumps([asdict(each) for each in results], indent=1))
        return 0
    width = max(len(each.command) for each in results)
    for each in results:
        print(f"{each.command:{width}}  {each.mark:28}  {each.why[:150]}".rstrip())
    counts = Counter(each.mark for each in results)
    print(f"\n{len(results)} commands: " + ", ".join(f"{count} {mark}" for mark, count in counts.items()))
    return 0


def commands(flyctl: Path, environment: Mapping[str, str]) -> list[str]:
    """Return the full names of all commands that do something by themselves, at every depth, sorted."""
    found: list[str] = []
    level = [""]

    def text_of(name: str) -> str:
        words = [str(flyctl), *name.split(), "--help"]
        # The binary is the one that the user named.
        return subprocess.check_output(words, env=dict(environment), text=True, stdin=subprocess.DEVNULL, timeout=60)  # noqa: S603

    with ThreadPoolExecutor(8) as pool:
        while level:
            inner: list[str] = []
            for name, text in zip(level, pool.map(text_of, level), strict=True):
                # Below the usage of a group stands the list of its commands, and after that its flags.
                head, _, body = text.partition("[command]")
                below = _ROW.findall(body.split("\nFlags:")[0]) if name != "help" else []
                inner += [f"{name} {each}".strip() for each in below]
                if name and (not below or "[flags]" in head.rpartition("Usage:")[2]):
                    found.append(name)
            level = inner
    return sorted(found)


def arguments(name: str) -> str:
    return ARGUMENTS.get(name) or ARGUMENTS.get(re.sub(r"^(ssh (?=sftp)|extensions (?=storage))", "", name), "")


async def result(flyctl: Path, name: str) -> Result:
    """Run one command in a world and a sandbox of its own."""
    reached: list[str] = []
    # A cluster and its first backup take a while; only machines have leases, which would expire too early.
    speed = 20.0 if name.startswith("mpg ") else 1.0
    with TemporaryDirectory(prefix="flyctl-", ignore_cleanup_errors=True) as place:
        async with Emulator(boot=(0.1, 0.2), speed=speed) as emulator, proxied(reached) as proxy:
            things = await furnish(emulator)
            # Limits are per second: the command begins with full ones.
            await asyncio.sleep(2)
            # Some commands read the macaroon that they were given.
            tokens = dict.fromkeys(("FLY_ACCESS_TOKEN", "FLY_API_TOKEN"), things["header"])
            environment = home(Path(place), emulator.environment() | tokens, proxy)
            words = [str(flyctl), *name.split(), *shlex.split(arguments(name).format(**things))]
            text, seconds = GIVEN["inputs"].get(name, ""), 5.0 if name in SERVERS else LONGEST
            ended = await run(words, Path(place), environment, text, seconds)
            not_served = list(emulator.not_served())
    mark, why = mark_of(name, ended, not_served, reached)
    return Result(command=name, mark=mark, why=why, code=ended.code, words=ended.last_words)


def mark_of(name: str, ended: Ended, not_served: list[str], reached: list[str]) -> tuple[str, str]:
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
    if needed := next((needed for pattern, needed in GIVEN["others"].items() if fnmatch(name, pattern)), None):
        return NOT_SERVED, needed
    words = ended.last_words or ("it did not end" if ended.code is None else "")
    return (TUNNEL if _TUNNEL_WORDS.search(words) else FAILS), words


if __name__ == "__main__":
    sys.exit(asyncio.run(main()))
