import asyncio
import signal
import socket
from io import StringIO

import pytest

from flyasync.api.client import FlyClient
from flyasync.cli.emulator import serve
from flyasync.cli.signals import until_signalled
from flyasync.emulator import Emulator
from tests.cli.driver import flyasync


class Heard(StringIO):
    def __init__(self) -> None:
        super().__init__()
        self.something = asyncio.Event()

    def flush(self) -> None:
        self.something.set()


async def test_it_says_how_to_get_there_and_serves_until_a_signal() -> None:
    out, err = StringIO(), Heard()
    work = asyncio.ensure_future(until_signalled(serve(Emulator(capacity={"lhr": 0}), 0, out, err), lambda _: None))
    await err.something.wait()
    said = dict(line.removeprefix("export ").split("=", 1) for line in out.getvalue().splitlines())
    async with FlyClient(said["FLY_API_TOKEN"], base_url=said["FLY_FLAPS_BASE_URL"]) as fly:
        assert (await fly.apps.create("web", org_slug="personal")).name == "web"
    signal.raise_signal(signal.SIGTERM)
    assert await work == 143


def test_a_port_in_use_is_one_clear_line() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        result = flyasync("emulator", "--port", str(port))
    assert result.exit_code == 1
    assert result.stderr == (
        f"flyasync: cannot listen on port {port}: Address already in use; take another --port, or 0 for a free one\n"
    )


@pytest.mark.parametrize(
    ("args", "says"),
    [
        (["--capacity", "xyz=0"], "no region is called 'xyz'"),
        (["--capacity", "iad=some"], "is not REGION=MACHINES"),
        (["--speed", "0"], "speed: must be above 0"),
        (["--port", "70000"], "--port"),
    ],
)
def test_a_wrong_command_line_exits_with_2(args: list[str], says: str) -> None:
    result = flyasync("emulator", *args)
    assert result.exit_code == 2
    assert says in result.stderr
    assert result.stdout == ""
