import pytest

from flyasync.api.client import FlyClient
from flyasync.errors import BadRequest, NotFound, Unreadable
from tests.api.client_on_emulator import asked, sent_by

DATA = bytes(range(256))


@pytest.mark.parametrize("associated", [None, b"for whom"])
async def test_what_is_encrypted_is_decrypted(fly: FlyClient, app: str, associated: bytes | None) -> None:
    await fly.secret_keys.generate(app, "k", type="nacl_secretbox")
    sealed = await fly.secret_keys.encrypt(app, "k", DATA, associated_data=associated)
    assert sealed != DATA
    assert await fly.secret_keys.decrypt(app, "k", sealed, associated_data=associated) == DATA
    with pytest.raises(BadRequest):
        await fly.secret_keys.decrypt(app, "k", sealed, associated_data=b"for somebody else")


async def test_a_signature_holds_for_its_text_alone(fly: FlyClient, app: str) -> None:
    await fly.secret_keys.set(app, "k", type="hs256", value=DATA)
    signature = await fly.secret_keys.sign(app, "k", b"text")
    await fly.secret_keys.verify(app, "k", b"text", signature)
    with pytest.raises(BadRequest):
        await fly.secret_keys.verify(app, "k", b"another text", signature)


async def test_keys_are_listed_by_type_and_deleted(fly: FlyClient, app: str) -> None:
    await fly.secret_keys.generate(app, "a", type="hs256")
    made = await fly.secret_keys.generate(app, "b", type="nacl_sign")
    assert made.public_key
    assert [key.name for key in await fly.secret_keys.list(app)] == ["a", "b"]
    assert [key.name for key in await fly.secret_keys.list(app, types=["hs256"])] == ["a"]
    assert (await fly.secret_keys.get(app, "b")).type == "nacl_sign"
    assert (await fly.secret_keys.delete(app, "b")).version
    with pytest.raises(NotFound):
        await fly.secret_keys.get(app, "b")


async def test_bytes_travel_as_base64() -> None:
    sent = await sent_by(lambda fly: fly.secret_keys.set("web", "k", type="hs256", value=b"\xff\x00"), {})
    assert sent.body == {"type": "hs256", "value": "/wA="}


@pytest.mark.parametrize("answer", [{}, {"plaintext": None}, {"plaintext": "s3cret!!"}, {"plaintext": "s3cr\u00e9t"}])
async def test_an_answer_that_holds_no_bytes_is_unreadable_and_not_shown(answer: object) -> None:
    async with asked(answer) as (_, fly):
        with pytest.raises(Unreadable, match="plaintext is missing or is not base64") as caught:
            await fly.secret_keys.decrypt("web", "k", b"x")
    assert "s3cr" not in repr(caught.value)
    assert caught.value.__cause__ is None
