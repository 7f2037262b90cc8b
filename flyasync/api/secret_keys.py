"""Secret keys: encrypting and signing with keys that never leave the platform."""

import base64
from collections.abc import Iterable
from contextlib import suppress
from typing import Any

from attrs import frozen

from flyasync.api.resource import Caller, QueryValue, given, request
from flyasync.models.secret import SecretsUpdate
from flyasync.models.secret_key import KeyWork, SecretKey, SecretKeyList
from flyasync.safe_text import hidden
from flyasync.transport.request import Repeat, Request


@frozen
class SecretKeys:
    """`fly.secret_keys`: keys of an app that encrypt, decrypt, sign and verify without being visible.

    A key's `type` decides what it can do: `hs256`, `hs384`, `hs512`, `es256`, `nacl_auth` and `nacl_sign` sign,
    `xaes256gcm`, `nacl_box` and `nacl_secretbox` encrypt. What goes in and comes out is `bytes`. With `min_version`
    the app's secrets are at least as new as that version. The API's pages do not document these operations; flyctl's
    source shows them.
    """

    _caller: Caller

    async def list(
        self, app: str, *, types: str | Iterable[str] | None = None, min_version: int | None = None
    ) -> tuple[SecretKey, ...]:
        """List an app's secret keys, all or those of some `types`."""
        query: dict[str, QueryValue] = {
            "types": types if types is None or isinstance(types, str) else ",".join(types),
            "min_version": min_version,
        }
        ask = request("secret_keys.list", app, to="GET apps/{}/secretkeys", repeat=Repeat.ANYTIME, query=query)
        return tuple((await self._caller.read(ask, SecretKeyList)).secret_keys or ())

    async def get(self, app: str, name: str, *, min_version: int | None = None) -> SecretKey:
        """Get one secret key: its type, and its public half if it has one. Raises NotFound for an unknown name."""
        ask = request(
            "secret_keys.get",
            app,
            parts=(name,),
            to="GET apps/{}/secretkeys/{}",
            repeat=Repeat.ANYTIME,
            query={"min_version": min_version},
        )
        return await self._caller.read(ask, SecretKey)

    async def set(self, app: str, name: str, *, type: str, value: bytes) -> SecretKey:  # noqa: A002 - the API's word
        """Store a key of your own, replacing the one of that name. Repeated after a lost response."""
        value = hidden(value)
        ask = request(
            "secret_keys.set",
            app,
            parts=(name,),
            to="POST apps/{}/secretkeys/{}",
            repeat=Repeat.ANYTIME,
            body={"type": type, "value": _text(value)},
        )
        return await self._caller.read(ask, SecretKey)

    async def generate(self, app: str, name: str, *, type: str) -> SecretKey:  # noqa: A002 - the API's word
        """Generate a new key, replacing the one of that name; what that one encrypted is lost.

        Not repeated after a lost response, since each request generates another key. If cancelled, it may have been
        generated.
        """
        ask = request(
            "secret_keys.generate",
            app,
            parts=(name,),
            to="POST apps/{}/secretkeys/{}/generate",
            repeat=Repeat.UNSENT,
            body={"type": type},
        )
        return await self._caller.read(ask, SecretKey)

    async def delete(self, app: str, name: str) -> SecretsUpdate:
        """Delete a key; what it encrypted is lost.

        Return the new `version` of the app's secrets, which is None if the response was lost. Repeated after a lost
        response.
        """
        ask = request(
            "secret_keys.delete", app, parts=(name,), to="DELETE apps/{}/secretkeys/{}", repeat=Repeat.ANYTIME
        )
        return await self._caller.remove(ask, SecretsUpdate) or SecretsUpdate()

    async def encrypt(
        self,
        app: str,
        name: str,
        plaintext: bytes,
        *,
        associated_data: bytes | None = None,
        min_version: int | None = None,
    ) -> bytes:
        """Encrypt `plaintext`; `associated_data` is not in the result, but is needed again to decrypt it.

        Raises BadRequest for a key whose type cannot encrypt. Changes nothing, and is repeated after a lost response.
        """
        plaintext, associated_data = hidden(plaintext), hidden(associated_data)
        body = {"plaintext": plaintext, **given(associated_data=associated_data)}
        return await self._transform(_key_request("encrypt", app, name, body, min_version), "ciphertext")

    async def decrypt(
        self,
        app: str,
        name: str,
        ciphertext: bytes,
        *,
        associated_data: bytes | None = None,
        min_version: int | None = None,
    ) -> bytes:
        """Decrypt what `encrypt` returned, with the same `associated_data`.

        Raises BadRequest if either was changed, or if another key was used.
        """
        ciphertext, associated_data = hidden(ciphertext), hidden(associated_data)
        body = {"ciphertext": ciphertext, **given(associated_data=associated_data)}
        return await self._transform(_key_request("decrypt", app, name, body, min_version), "plaintext")

    async def sign(self, app: str, name: str, plaintext: bytes, *, min_version: int | None = None) -> bytes:
        """Sign `plaintext`. Raises BadRequest for a key whose type cannot sign."""
        plaintext = hidden(plaintext)
        return await self._transform(
            _key_request("sign", app, name, {"plaintext": plaintext}, min_version), "signature"
        )

    async def verify(
        self, app: str, name: str, plaintext: bytes, signature: bytes, *, min_version: int | None = None
    ) -> None:
        """Verify that `signature` is this key's for `plaintext`. Raises BadRequest if it is not."""
        plaintext, signature = hidden(plaintext), hidden(signature)
        body = {"plaintext": plaintext, "signature": signature}
        await self._caller.ask(_key_request("verify", app, name, body, min_version))

    # The API speaks base64; callers pass and get bytes.
    async def _transform(self, ask: Request, result: str) -> bytes:
        text = hidden(getattr(await self._caller.read(ask, KeyWork), result))
        with suppress(TypeError, ValueError):
            return base64.b64decode(text, validate=True)
        raise ask.unreadable(f"the {result} is missing or is not base64")


def _key_request(verb: str, app: str, name: str, body: dict[str, Any], min_version: int | None) -> Request:
    return request(
        f"secret_keys.{verb}",
        app,
        parts=(name,),
        to=f"POST apps/{{}}/secretkeys/{{}}/{verb}",
        repeat=Repeat.ANYTIME,
        query={"min_version": min_version},
        body={key: _text(value) for key, value in body.items()},
        changes=False,
    )


def _text(value: bytes) -> str:
    return base64.b64encode(value).decode()
