import base64
from typing import Any

import pytest

from tests.emulator.driver import Api, Said

KEYS = "/v1/apps/web/secretkeys"
CIPHERS = ["xaes256gcm", "nacl_box", "nacl_secretbox"]
SIGNERS = ["es256", "hs256", "hs384", "hs512", "nacl_auth", "nacl_sign"]


def packed(text: str) -> str:
    return base64.b64encode(text.encode()).decode()


async def made(api: Api, kind: str, name: str = "k") -> dict[str, Any]:
    said = await api.post(f"{KEYS}/{name}/generate", {"type": kind, "value": None})
    assert said.status == 201, said
    assert isinstance(said.body, dict)
    return said.body


async def use(api: Api, deed: str, name: str = "k", **body: Any) -> Said:
    return await api.post(f"{KEYS}/{name}/{deed}", body)


@pytest.mark.parametrize("kind", CIPHERS)
async def test_what_is_encrypted_can_be_decrypted(api: Api, kind: str) -> None:
    await made(api, kind)
    text, bound = packed("héllo " * 20), packed("for web")
    sealed = (await use(api, "encrypt", plaintext=text, associated_data=bound)).body["ciphertext"]
    assert text not in sealed
    assert (await use(api, "decrypt", ciphertext=sealed, associated_data=bound)).body == {"plaintext": text}
    other = await use(api, "decrypt", ciphertext=sealed)
    assert (other.status, other.error) == (400, "decryption failed")
    assert (await use(api, "sign", plaintext=text)).error == f"a key of type {kind} can not sign"


@pytest.mark.parametrize("kind", SIGNERS)
async def test_what_is_signed_can_be_verified(api: Api, kind: str) -> None:
    await made(api, kind)
    signature = (await use(api, "sign", plaintext=packed("a"))).body["signature"]
    assert base64.b64decode(signature).startswith(b"toy:")
    assert (await use(api, "verify", plaintext=packed("a"), signature=signature)).status == 204
    forged = await use(api, "verify", plaintext=packed("b"), signature=signature)
    assert (forged.status, forged.error) == (400, "signature verification failed")
    assert (await use(api, "encrypt", plaintext=packed("a"))).error == f"a key of type {kind} can not encrypt"


async def test_a_key_brought_twice_signs_alike(api: Api) -> None:
    said = [
        await api.post(f"{KEYS}/one", {"type": "hs256", "value": packed("key")}),
        await api.post(f"{KEYS}/two", {"type": "hs256", "value": [107, 101, 121]}),
    ]
    assert [one.status for one in said] == [201, 201]
    assert [one.body["version"] for one in said] == [1, 2]
    signed = [(await use(api, "sign", name, plaintext=packed("a"))).body for name in ("one", "two")]
    assert signed[0] == signed[1]


async def test_keys_are_listed_by_name_and_type(api: Api) -> None:
    await made(api, "hs256", "b")
    await made(api, "nacl_box", "a")
    found = (await api.get(KEYS)).body["secret_keys"]
    assert [(key["name"], key["type"], "public_key" in key) for key in found] == [
        ("a", "nacl_box", True),
        ("b", "hs256", False),
    ]
    assert [key["name"] for key in (await api.get(f"{KEYS}?types=hs256,es256")).body["secret_keys"]] == ["b"]
    assert (await api.ask("DELETE", f"{KEYS}/a")).body["version"] == 3
    gone = await api.get(f"{KEYS}/a")
    assert (gone.status, gone.error) == (404, "secret key not found")


@pytest.mark.parametrize(
    ("path", "body", "text"),
    [
        ("k", {"type": "hs256"}, "value is required"),
        ("k", {"type": "hs256", "value": "!"}, "invalid value: illegal base64 data"),
        ("k", {"type": "hs256", "value": [999]}, "invalid value: illegal base64 data"),
        ("k", {"type": "rsa", "value": ""}, "invalid type: 'rsa'"),
        ("k/generate", {}, "invalid type: None"),
    ],
)
async def test_a_key_must_make_sense(api: Api, path: str, body: Any, text: str) -> None:
    said = await api.post(f"{KEYS}/{path}", body)
    assert (said.status, said.error) == (400, text)
