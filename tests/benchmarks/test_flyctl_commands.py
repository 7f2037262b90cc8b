"""What the marks of flyctl's commands follow from, and that all its commands are found."""

import asyncio
import stat
import string
from pathlib import Path

import pytest

from benchmarks.flyctl_commands.__main__ import ARGUMENTS, FAILS, GIVEN, NOT_SERVED, TUNNEL, WORKS, commands, mark_of
from benchmarks.flyctl_commands.stage import furnish, home
from benchmarks.shared.programs import Ended, proxied, run
from flyasync import Emulator

HELP = """#!/bin/sh
case "$*" in
"--help") cat <<END
Usage:
  flyctl [flags]
  flyctl [command]

Machines
  apps   Manage apps
  jobs   Jobs
END
;;
"apps --help") cat <<END
Usage:
  flyctl apps [command]

Commands:
  list   List

Flags:
  -h, --help   help
END
;;
"jobs --help") cat <<END
Usage:
  flyctl jobs [flags]
  flyctl jobs [command]

Commands:
  open   Open
END
;;
*) printf 'Usage:\\n  flyctl %s [flags]\\n' "$1" ;;
esac
"""


def program(path: Path, text: str) -> Path:
    path.write_text(text)
    path.chmod(path.stat().st_mode | stat.S_IXUSR)
    return path


def test_all_commands_are_found_and_groups_that_do_something(tmp_path: Path) -> None:
    found = commands(program(tmp_path / "flyctl", HELP), {"PATH": "/usr/bin:/bin"})
    assert found == ["apps list", "jobs", "jobs open"]


@pytest.mark.parametrize(
    ("name", "code", "asked", "err", "mark"),
    [
        ("status", 0, [], "", WORKS),
        ("status", 0, ["GET https://flags.test"], "", WORKS),
        ("consul attach", 0, ["Mutation.enablePostgresConsul"], "", NOT_SERVED),
        ("mcp server", None, [], "", WORKS),
        ("proxy", None, [], "", FAILS),
        ("proxy", 1, ["Mutation.addWireGuardPeer"], "Error: no", TUNNEL),
        ("agent ping", 1, [], "Error: failed dialing agent: agent not running", TUNNEL),
        ("storage create", 1, ["Query.addOnProvider"], "Error: no", NOT_SERVED),
        ("version upgrade", 1, ["CONNECT api.fly.io:443"], "Error: no", NOT_SERVED),
        ("apps errors", 1, [], "Error: No project found", NOT_SERVED),
        ("status", 1, [], "Error: no such app", FAILS),
    ],
)
def test_a_mark_follows_from_the_run(name: str, code: int | None, asked: list[str], err: str, mark: str) -> None:
    hosts = [each for each in asked if each.startswith(("GET http", "CONNECT"))]
    not_served = [each for each in asked if each not in hosts]
    assert mark_of(name, Ended(code=code, out="", err=err), not_served, hosts)[0] == mark


async def test_the_world_has_what_arguments_name() -> None:
    named = {part[1] for words in ARGUMENTS.values() for part in string.Formatter().parse(words) if part[1]}
    async with Emulator() as emulator:
        things = await furnish(emulator)
        assert named <= things.keys()
        assert {things["machine"], things["stopped"]} <= emulator.world.machines.keys()
        assert things["header"].startswith("FlyV1 fm2_")
        assert not emulator.not_served()
    assert GIVEN["inputs"].keys() <= ARGUMENTS.keys() | {"tokens attenuate"}


def test_a_command_sees_its_own_home_and_no_network(tmp_path: Path) -> None:
    text = '#!/bin/sh\nsleep 100 &\necho "$HOME" "$FLY_CONFIG_DIR"\ncat\necho "Error: it failed" >&2\nexit 3\n'
    path, reached = program(tmp_path / "p", text), list[str]()

    async def ran() -> Ended:
        async with proxied(reached) as proxy:
            environment = home(tmp_path, {"FLY_API_TOKEN": "x"}, proxy)
            return await run([str(path)], tmp_path, environment, "said", 30.0)

    # In real time, which a program needs.
    ended = asyncio.run(ran())
    assert ended == Ended(code=3, out=f"{tmp_path} {tmp_path}/config\nsaid", err="Error: it failed\n")
    assert (ended.last_words, reached) == ("it failed", [])
