"""A client with the settings of a recorded one."""

import base64
import json
import zlib
from pathlib import Path

import pytest

from flyasync import Emulator, FlyClient, InvalidInput, RetryPolicy, Timeouts
from flyasync.api.recorded import client_as_recorded
from tests.api.client_on_emulator import NGINX, client


def test_it_pauses_and_gives_up_like_the_recorded_one(tmp_path: Path) -> None:
    policy, path = RetryPolicy(attempts=3, total=float("inf"), seed=7), tmp_path / "r"
    first = FlyClient("a", base_url="http://127.0.0.1:1", retry=policy, timeout=Timeouts(reply=4.0), record=path)
    header = json.loads(path.read_text().splitlines()[0])
    assert first.recording
    first.recording.close()
    again = client_as_recorded(header, token="b", base_url="http://127.0.0.1:1")
    assert again._policy == RetryPolicy(attempts=3, seed=7)
    assert header["client"]["timeout"]["reply"] == 4.0


def test_a_seed_is_drawn_for_each_recording(tmp_path: Path) -> None:
    seeds = set()
    for name in "ab":
        client = FlyClient("a", base_url="http://127.0.0.1:1", record=tmp_path / name)
        assert client.recording
        client.recording.close()
        seeds.add(json.loads((tmp_path / name).read_text().splitlines()[0])["client"]["retry"]["seed"])
    assert len(seeds) == 2


def test_settings_of_a_later_version_are_refused() -> None:
    with pytest.raises(InvalidInput, match="settings that this version does not know"):
        client_as_recorded({"client": {"retry": {"patience": 3}}}, token="b", base_url="http://127.0.0.1:1")


async def test_no_credential_that_the_client_gets_is_in_its_recording(emulator: Emulator, tmp_path: Path) -> None:
    path = tmp_path / "r"
    async with client(emulator, record=path) as fly:
        await fly.apps.create("web", org_slug="personal")
        machine = await fly.machines.create("web", NGINX)
        await fly.machines.wait("web", machine.id)
        await fly.secrets.set("web", "DB", "plain words only")
        await fly.secret_keys.generate("web", "K", type="hs256")
        (secret,) = await fly.secrets.list("web", show_secrets=True)
        credentials = {
            "client": emulator.token,
            "kms": await fly.tokens.kms(),
            "oidc": await fly.tokens.oidc(),
            "deploy": (await fly.apps.create_deploy_token("web")).removeprefix("FlyV1 ").partition(",")[0],
            "nonce": (await fly.leases.acquire("web", machine.id)).nonce,
            "secret": secret.value or "",
            "signature": base64.b64encode(await fly.secret_keys.sign("web", "K", b"text")).decode(),
        }
    lines = [json.loads(line) for line in path.read_text().splitlines()]
    packed = [value for line in lines for name, value in line.items() if name.endswith("_zlib")]
    text = "".join([path.read_text(), *(zlib.decompress(base64.b64decode(each)).decode() for each in packed)])
    assert {"tokens.kms", "tokens.oidc", "apps.create_deploy_token"} < {line.get("operation") for line in lines}
    assert min(map(len, credentials.values())) >= 8
    assert [name for name, credential in credentials.items() if credential in text] == []
