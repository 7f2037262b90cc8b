import asyncio

import pytest

from flyasync.api.client import FlyClient
from flyasync.emulator import Emulator
from flyasync.errors import FlyError, NotFound
from tests.api.client_on_emulator import asked, count

KEY = "-----BEGIN PRIVATE KEY-----\nMIIEvQ\n-----END PRIVATE KEY-----\n"
CHAIN = "-----BEGIN CERTIFICATE-----\nMIIDdz\n-----END CERTIFICATE-----\n"


async def test_a_hostname_is_validated_after_a_while(fly: FlyClient, app: str) -> None:
    made = await fly.certificates.create_acme(app, "example.com")
    assert made.status == "pending_validation"
    assert made.dns_requirements
    assert made.dns_requirements.acme_challenge
    await asyncio.sleep(60)
    assert (await fly.certificates.check(app, "example.com")).is_active
    found = await fly.certificates.get(app, "example.com")
    assert [one.source for one in found.certificates or ()] == ["fly"]


async def test_a_certificate_of_ones_own_stands_beside_the_other(fly: FlyClient, app: str) -> None:
    await fly.certificates.create_acme(app, "example.com")
    await fly.certificates.create_custom(app, "example.com", fullchain=CHAIN, private_key=KEY)
    await fly.certificates.delete_custom(app, "example.com")
    left = await fly.certificates.get(app, "example.com")
    assert "custom" not in [one.source for one in left.certificates or ()]
    await fly.certificates.delete(app, "example.com")
    with pytest.raises(NotFound):
        await fly.certificates.get(app, "example.com")


async def test_hostnames_are_listed_page_by_page(fly: FlyClient, app: str, emulator: Emulator) -> None:
    for number in range(5):
        await fly.certificates.create_acme(app, f"{number}.example.com")
    names = [one.hostname async for one in fly.certificates.list(app, limit=2)]
    assert sorted(map(str, names)) == [f"{number}.example.com" for number in range(5)]
    assert count(emulator, "listAppCertificates") == 3
    assert [one.hostname async for one in fly.certificates.list(app, filter="3.")] == ["3.example.com"]


async def test_a_private_key_is_in_no_error() -> None:
    async with asked({"error": "invalid certificate"}, status=422) as (recorder, fly):
        with pytest.raises(FlyError) as caught:
            await fly.certificates.create_custom("web", "example.com", fullchain=CHAIN, private_key=KEY)
    assert recorder.heard[0].body["private_key"] == KEY
    assert "MIIEvQ" not in f"{caught.value!r} {caught.value} {caught.value.__dict__}"
