"""HTTPS, as clients see it that trust the authority of the emulator."""

import asyncio
import ssl
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta

import aiohttp
import pytest

from flyasync.emulator import Emulator


@pytest.fixture
async def emulator() -> AsyncIterator[Emulator]:
    # All addresses, so that the address to listen on is none that a client uses.
    async with Emulator(host="0.0.0.0", allow_hosts=["emulator.test", "10.0.0.5"], tls=True) as emulator:
        yield emulator


async def status(emulator: Emulator, *, name: str = "localhost", origin: str | None = None) -> int:
    headers = {} if origin is None else {"Origin": origin}
    async with (
        aiohttp.ClientSession(headers=headers) as session,
        session.get(
            f"{emulator.url}/_emulator/counts", ssl=emulator.ssl_context or False, server_hostname=name
        ) as reply,
    ):
        return reply.status


@pytest.mark.parametrize("name", ["127.0.0.1", "::1", "localhost", "emulator.test", "10.0.0.5"])
async def test_the_certificate_covers_every_name_that_is_served(emulator: Emulator, name: str) -> None:
    assert await status(emulator, name=name) == 200


async def test_other_names_and_other_authorities_are_not_trusted(emulator: Emulator) -> None:
    with pytest.raises(aiohttp.ClientConnectorCertificateError, match="Hostname mismatch"):
        await status(emulator, name="api.machines.dev")
    async with aiohttp.ClientSession() as session:
        with pytest.raises(aiohttp.ClientConnectorCertificateError, match="unable to get local issuer"):
            await session.get(emulator.url)
        async with Emulator(tls=True) as other:
            with pytest.raises(aiohttp.ClientConnectorCertificateError):
                await session.get(other.url, ssl=emulator.ssl_context or False)


async def test_the_origin_of_a_page_has_the_scheme_of_the_emulator(emulator: Emulator) -> None:
    assert await status(emulator, origin=emulator.url) == 200
    assert await status(emulator, origin=emulator.url.replace("https:", "http:")) == 403


async def test_the_file_alone_is_enough_for_a_client(emulator: Emulator) -> None:
    trusting = ssl.create_default_context(cafile=str(emulator.ca_file))
    async with aiohttp.ClientSession() as session, session.get(f"{emulator.url}/v1/apps/web", ssl=trusting) as reply:
        assert reply.status == 401


async def test_the_certificate_is_not_valid_for_longer_than_clients_accept(emulator: Emulator) -> None:
    port = int(emulator.url.rpartition(":")[2])
    _, writer = await asyncio.open_connection("127.0.0.1", port, ssl=emulator.ssl_context)
    found = writer.get_extra_info("peercert")
    writer.close()
    await writer.wait_closed()
    first, last = (
        datetime.fromtimestamp(ssl.cert_time_to_seconds(found[each]), UTC) for each in ("notBefore", "notAfter")
    )
    assert first < datetime.now(UTC) < last
    assert last - first <= timedelta(days=398)
