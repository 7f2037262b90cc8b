import asyncio
import json
import os
import re
import signal
import socket
import sys
from collections.abc import Coroutine, Iterator, Mapping
from contextlib import contextmanager
from io import StringIO
from pathlib import Path
from typing import Any

import pytest
from aiohttp import ClientSession

from flyasync.api.client import FlyClient
from flyasync.cli.emulator import ADDRESSES, FORMATS
from flyasync.cli.emulator_serving import serve, serve_while
from flyasync.cli.shared.signals import until_signalled
from flyasync.emulator import Emulator
from flyasync.emulator.world.ip_assignments import KINDS
from flyasync.models.config import MachineConfig
from flyasync.testing import run_virtual
from tests.cli.driver import flyasync


class Heard(StringIO):
    def __init__(self) -> None:
        super().__init__()
        self.something = asyncio.Event()

    def flush(self) -> None:
        self.something.set()


async def test_it_says_how_to_get_there_and_serves_until_a_signal() -> None:
    out, err = StringIO(), Heard()
    work = asyncio.ensure_future(
        until_signalled(serve(Emulator(capacity={"lhr": 0}), 0, out, err, FORMATS["sh"]), lambda _: None)
    )
    await err.something.wait()
    assert "/_emulator/: GET log, GET counts, GET or POST or DELETE faults, POST capacity" in err.getvalue()
    listed = re.search(r"_emulator/: (.*)", err.getvalue())
    assert listed
    assert named(listed[1]) | {("GET", "health"), ("GET", "incidents")} == documented()
    said = dict(line.removeprefix("export ").split("=", 1) for line in out.getvalue().splitlines())
    async with FlyClient(said["FLY_API_TOKEN"], base_url=said["FLY_FLAPS_BASE_URL"]) as fly:
        assert (await fly.apps.create("web", org_slug="personal")).name == "web"
    signal.raise_signal(signal.SIGTERM)
    assert await work == 143


async def test_the_sandbox_of_the_shell_is_private_and_ends_with_it() -> None:
    out, err = StringIO(), Heard()
    shown = FORMATS["json"]
    serves = asyncio.ensure_future(serve(Emulator(), 0, out, err, shown))
    await err.something.wait()
    folder = json.loads(out.getvalue())["FLY_CONFIG_DIR"]
    assert mode(folder) == 0o700
    serves.cancel()
    await asyncio.gather(serves, return_exceptions=True)
    with pytest.raises(FileNotFoundError):
        mode(folder)


def mode(folder: str) -> int:
    return Path(folder).stat().st_mode & 0o777


def named(routes: str) -> set[tuple[str, str]]:
    """Return the method and the path of each route in a list such as "GET or POST world, GET reach?app=APP"."""
    return {
        (method, route.split()[-1].partition("?")[0])
        for route in routes.split(", ")
        for method in route.rpartition(" ")[0].split(" or ")
    }


def documented() -> set[tuple[str, str]]:
    page = (Path(__file__).parents[2] / "docs/pages/emulator.md").read_text()
    return set(re.findall(r"^\| `(GET|POST|DELETE) /_emulator/(\w+)` \|", page, re.MULTILINE))


@pytest.mark.parametrize(
    ("form", "printed"),
    [
        ("sh", "export A=1\nexport B='it'\"'\"'s \\x'\n"),
        ("fish", "set -gx A '1'\nset -gx B 'it\\'s \\\\x'\n"),
        ("powershell", "$env:A = '1'\n$env:B = 'it''s \\x'\n"),
        ("env", "A=1\nB=it's \\x\n"),
        ("json", '{"A": "1", "B": "it\'s \\\\x"}\n'),
    ],
)
def test_variables_are_quoted_for_each_reader(form: str, printed: str) -> None:
    assert FORMATS[form]({"A": "1", "B": "it's \\x"}) == printed


PROGRAM = """
import json, os, sys, urllib.request
headers = {"Authorization": "Bearer " + os.environ["FLY_API_TOKEN"]}
body = json.dumps({"app_name": sys.stdin.read(), "org_slug": "personal"}).encode()
url = os.environ["FLY_FLAPS_BASE_URL"] + "/v1/apps"
with urllib.request.urlopen(urllib.request.Request(url, body, headers), timeout=30) as reply:
    print(sys.argv[1:], reply.url.partition(":")[0], json.load(reply)["name"])
sys.exit(3)
"""


def test_a_command_runs_inside_and_its_streams_and_exit_code_are_its_own(capfd: pytest.CaptureFixture[str]) -> None:
    # urllib trusts what SSL_CERT_FILE names, as Go and Ruby do. The words after the program are not options of ours.
    with standard_input("web"):
        result = flyasync(
            *("emulator", "--tls", "--allow-host", "a.test", "--"),
            *(sys.executable, "-I", "-c", PROGRAM, "--port", "--json"),
            drive=asyncio.run,
        )
    assert result.exit_code == 3
    assert result.stdout == ""
    assert result.stderr == ("flyasync: warning: web pages on a.test can read and change the emulated world\n")
    assert capfd.readouterr() == ("['--port', '--json'] https web\n", "")


async def test_what_the_command_asked_for_and_is_not_there_is_named_at_the_end() -> None:
    emulator, err = Emulator(limits=False), StringIO()

    async def inside(variables: Mapping[str, str]) -> int:
        async with ClientSession(variables["FLY_API_BASE_URL"], headers={"Authorization": "Bearer x"}) as session:
            await session.post("/graphql", json={"query": '{ addOn(name: "redis") { id } }'})
            for _ in range(2):
                await session.get("/v2/")
        return 5

    assert await serve_while(emulator, 0, inside, err) == 5
    assert err.getvalue() == "flyasync: not served by the emulator: Query.addOn, GET /v2/ (2 times)\n"


async def test_what_the_rate_limits_refused_is_counted_at_the_end() -> None:
    emulator, err = Emulator(), StringIO()

    async def inside(variables: Mapping[str, str]) -> int:
        async with ClientSession(variables["FLY_API_BASE_URL"], headers={"Authorization": "Bearer x"}) as session:
            await session.post("/v1/apps", json={"app_name": "web", "org_slug": "personal"})
            for _ in range(5):
                await session.post("/v1/apps/web/machines", json={"config": {"image": "nginx"}})
        return 0

    assert await serve_while(emulator, 0, inside, err) == 0
    assert err.getvalue() == (
        "flyasync: refused by the rate limits: createMachine (2 times); for a program that does not repeat such "
        "requests, as flyctl does not, use --latency 0.35:0.5 or --no-limits\n"
    )


@contextmanager
def standard_input(text: str) -> Iterator[None]:
    """Let programs that are started read this."""
    reader, writer = os.pipe()
    os.write(writer, text.encode())
    os.close(writer)
    before = os.dup(0)
    os.dup2(reader, 0)
    try:
        yield
    finally:
        os.dup2(before, 0)
        os.close(before)
        os.close(reader)


@pytest.mark.parametrize("dashes", [("--",), ()])
def test_a_command_that_does_not_exist_is_one_clear_line(dashes: tuple[str, ...]) -> None:
    result = flyasync("emulator", *dashes, "no-such-program", "--port", "x", drive=asyncio.run)
    assert result.exit_code == 127
    assert result.stderr == "flyasync: cannot run 'no-such-program': No such file or directory\n"


async def test_it_warns_of_what_it_is_open_to() -> None:
    out, err = StringIO(), Heard()
    emulator = Emulator(host="0.0.0.0", allow_hosts=["emulator.test"])
    serves = asyncio.ensure_future(serve(emulator, 0, out, err, FORMATS["sh"]))
    await err.something.wait()
    serves.cancel()
    await asyncio.gather(serves, return_exceptions=True)
    assert err.getvalue().splitlines()[:2] == [
        "flyasync: warning: any client that can reach 0.0.0.0 can read and change the emulated world, with any token",
        "flyasync: warning: web pages on emulator.test can read and change the emulated world",
    ]


def test_a_port_in_use_is_one_clear_line() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        result = flyasync("emulator", "--port", str(port))
    assert result.exit_code == 1
    assert result.stderr == (
        f"flyasync: cannot listen on port {port}: Address already in use; use another --port, or 0 for a free one\n"
    )


@pytest.mark.parametrize(
    ("args", "says"),
    [
        (["--capacity", "xyz=0"], "there is no region 'xyz'"),
        (["--capacity", "iad=some"], "is not REGION=MACHINES"),
        (["--retire", "xyz"], "'--retire': there is no region 'xyz'"),
        (["--move-tag", "web:latest"], "is not IMAGE=SECONDS, such as registry.fly.io/web:latest=30"),
        (["--image-lag", "9:1"], "the lower one first"),
        (["--token", "fm2_s:acme:web:more"], "expected VALUE[:ORG][:APP][:read-only][:expired or :expires=SECONDS]"),
        (["--token", "fm2_s:expires=soon"], "expected VALUE[:ORG][:APP]"),
        (["--token", "fm2_s:readonly"], "'readonly' is neither an organization nor an app: did you mean 'read-only'?"),
        (["--token", ":acme"], "value: a token needs printable ASCII without spaces"),
        (["--address", "v5"], "'--address': 'v5' is not one of 'v4', 'v6', 'shared_v4'"),
        (["--speed", "0"], "'--speed': 0.0 is not in the range x>0"),
        (["--port", "70000"], "--port"),
        (["--format", "json", "--", "true"], "--format has no effect with COMMAND"),
        (["--format", "csh"], "'csh' is not one of 'sh', 'fish', 'powershell', 'env', 'json'"),
        (["--command", "ls"], "'ls': Expecting value"),
        (["--command", '{"stdout": "a"}'], "a scripted command must be an object such as"),
        (["--command", '{"command": "a", "exit_code": "x"}'], "exit_code"),
        (["--host", "example.com"], "is not an IP address, such as 127.0.0.1 or 0.0.0.0"),
        (["--allow-host", "http://emulator.test"], "is not a host name"),
        (["--latency", "fast"], "is not LOW:HIGH in seconds, such as"),
        (["--latency", "2:1"], "the lower one first"),
        (["--boot", "0:inf"], "the lower one first"),
        (["--boot", "1:"], "is not LOW:HIGH"),
        (["--fault", '{"does": "dance"}'], "does is 'dance', but must be one of"),
        (["--fault", '{"does": "cut", "when": 1}'], "a fault has no field 'when'"),
    ],
)
def test_a_wrong_command_line_exits_with_2(args: list[str], says: str) -> None:
    result = flyasync("emulator", *args)
    assert result.exit_code == 2
    assert says in result.stderr
    assert result.stdout == ""


def test_its_options_reach_it(unused_tcp_port: int) -> None:
    seen: dict[str, Any] = {}
    fault = '{"does": "lose_answer", "action": "getVolumeById", "times": 1}'
    script = '{"command": "ls*", "stdout": "a"}'
    flyasync(
        *("emulator", "--port", str(unused_tcp_port), "--latency", "0.5", "--boot", "20:30", "--fault", fault),
        *("--command", script),
        drive=lambda serving: seen.update(run_virtual(visited(serving, f"http://127.0.0.1:{unused_tcp_port}"))),
    )
    assert seen["faults"] == 1
    assert seen["written"] == "a"
    assert 0.5 <= seen["latency"] < 1
    assert 19 < seen["boot"] < 31


async def visited(serving: Coroutine[Any, Any, int], url: str) -> dict[str, Any]:
    clock = asyncio.get_running_loop().time
    serves = asyncio.ensure_future(serving)
    await asyncio.sleep(0.1)
    async with FlyClient("fm2_x", base_url=url) as fly, ClientSession() as session:
        began = clock()
        await fly.apps.create("web", org_slug="personal")
        created = clock()
        machine = await fly.machines.create("web", MachineConfig(image="nginx"), region="iad")
        await fly.machines.wait("web", machine.id, state="started")
        started = clock()
        written = (await fly.machines.exec("web", machine.id, ["ls", "-l"])).stdout
        async with session.get(f"{url}/_emulator/faults") as reply:
            faults = (await reply.json())["faults"]
    serves.cancel()
    await asyncio.gather(serves, return_exceptions=True)
    return {"faults": len(faults), "written": written, "latency": created - began, "boot": started - created}


def test_the_state_is_kept_in_a_file(tmp_path: Path, unused_tcp_port: int) -> None:
    state = tmp_path / "world.fly"
    arguments = ("emulator", "--port", str(unused_tcp_port), "--state", str(state))
    names: list[str] = []

    async def once(serving: Coroutine[Any, Any, int], app: str) -> None:
        serves = asyncio.ensure_future(serving)
        await asyncio.sleep(0.1)
        async with FlyClient("fm2_x", base_url=f"http://127.0.0.1:{unused_tcp_port}") as fly:
            await fly.apps.create(app, org_slug="personal")
            names[:] = [each.name for each in await fly.apps.list("personal")]
        serves.cancel()
        await asyncio.gather(serves, return_exceptions=True)

    flyasync(*arguments, drive=lambda serving: run_virtual(once(serving, "one")))
    flyasync(*arguments, drive=lambda serving: run_virtual(once(serving, "two")))
    assert names == ["one", "two"]
    state.write_text("hello, this is my shopping list")
    result = flyasync(*arguments)
    assert result.exit_code == 1
    assert result.stderr == f"flyasync: {state} is not a state file of the emulator: name another file\n"


def test_each_type_of_address_that_the_emulator_has_can_be_named() -> None:
    assert ADDRESSES == KINDS
