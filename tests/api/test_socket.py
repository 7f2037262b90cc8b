"""Inside a machine: a real unix socket that wants no token."""

from collections.abc import AsyncIterator
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
import pytest_asyncio
from aiohttp import web

from flyasync.api.client import FlyClient
from flyasync.errors import ConnectFailed, InvalidInput, MissingToken

Heard = list[tuple[str, str, str | None]]


@pytest_asyncio.fixture
async def socket(heard: Heard) -> AsyncIterator[str]:
    async def serve(request: web.Request) -> web.Response:
        heard.append((request.host, request.path, request.headers.get("Authorization")))
        return web.Response(text="the.machine's.jwt\n")

    app = web.Application()
    app.router.add_post("/{path:.*}", serve)
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)
    await runner.setup()
    with TemporaryDirectory() as folder:  # a socket's path must be short
        path = str(Path(folder) / "api")
        await web.UnixSite(runner, path).start()
        yield path
        await runner.cleanup()


@pytest.fixture
def heard() -> Heard:
    return []


async def test_a_machine_asks_through_its_socket_without_a_token(socket: str, heard: Heard) -> None:
    async with FlyClient(base_url=f"unix://{socket}") as fly:
        assert await fly.tokens.oidc() == "the.machine's.jwt"
    assert heard == [("localhost", "/v1/tokens/oidc", None)]


async def test_a_token_of_the_environment_stays_out_of_it_and_a_given_one_goes_in(
    socket: str, heard: Heard, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FLY_API_TOKEN", "fm2_env")
    async with FlyClient(base_url=f"unix://{socket}") as fly:
        await fly.tokens.kms()
    async with FlyClient("fm2_given", base_url=f"unix://{socket}") as fly:
        await fly.tokens.kms()
    assert [token for _, _, token in heard] == [None, "FlyV1 fm2_given"]


async def test_a_socket_that_is_not_there_is_a_failed_connection(tmp_path: Path) -> None:
    async with FlyClient(base_url=f"unix://{tmp_path}/none") as fly:
        with pytest.raises(ConnectFailed):
            await fly.tokens.kms()


@pytest.mark.parametrize("url", ["unix://", "unix:///", "unix://relative/path"])
async def test_a_socket_is_named_by_its_whole_path(url: str) -> None:
    with pytest.raises(InvalidInput, match="a socket needs an absolute path"):
        FlyClient(base_url=url)


async def test_anything_else_needs_a_token() -> None:
    with pytest.raises(MissingToken):
        FlyClient(base_url="http://127.0.0.1:4280")
