"""Secrets: values that an app's machines get in their environment."""

from collections.abc import Mapping

from attrs import frozen

from flyasync.api.resource import Caller, QueryValue, request
from flyasync.models.secret import Secret, SecretList, SecretsUpdate
from flyasync.safe_text import hidden
from flyasync.transport.request import Repeat


@frozen
class Secrets:
    """`fly.secrets`: set, list and delete an app's secrets (docs: apps/secrets).

    Setting one changes no running machine: machines read the secrets when they start or are updated. To make sure that
    they read the new ones, pass the `version` of the response as `min_secrets_version` of the next create or update.
    Values are in no repr, error or event of this library.
    """

    _caller: Caller

    async def list(
        self, app: str, *, show_secrets: bool | None = None, min_version: int | None = None
    ) -> tuple[Secret, ...]:
        """List an app's secrets, their values only with `show_secrets` and a token that may see them.

        With `min_version`, the response is at least as new as that version.
        """
        ask = request(
            "secrets.list",
            app,
            to="GET apps/{}/secrets",
            repeat=Repeat.ANYTIME,
            query=_as_of(show_secrets=show_secrets, min_version=min_version),
        )
        return tuple((await self._caller.read(ask, SecretList)).secrets or ())

    async def get(
        self, app: str, name: str, *, show_secrets: bool | None = None, min_version: int | None = None
    ) -> Secret:
        """Get one secret, its value only with `show_secrets`; raises NotFound if there is none of that name."""
        ask = request(
            "secrets.get",
            app,
            parts=(name,),
            to="GET apps/{}/secrets/{}",
            repeat=Repeat.ANYTIME,
            query=_as_of(show_secrets=show_secrets, min_version=min_version),
        )
        return await self._caller.read(ask, Secret)

    async def set(self, app: str, name: str, value: str) -> Secret:
        """Set one secret; the response has its digest and the new `version`, not the value.

        Repeated after a lost response: setting the same value again only creates another version.
        """
        value = hidden(value)
        ask = request(
            "secrets.set",
            app,
            parts=(name,),
            to="POST apps/{}/secrets/{}",
            repeat=Repeat.ANYTIME,
            body={"value": value},
        )
        return await self._caller.read(ask, Secret)

    async def update(self, app: str, values: Mapping[str, str | None]) -> SecretsUpdate:
        """Set several secrets at once and delete those given as None; all others stay.

        One version covers all changes. Deleting one that does not exist is not an error. Repeated after a lost
        response.
        """
        values = hidden(values)
        ask = request(
            "secrets.update", app, to="POST apps/{}/secrets", repeat=Repeat.ANYTIME, body={"values": dict(values)}
        )
        return await self._caller.read(ask, SecretsUpdate)

    async def delete(self, app: str, name: str) -> SecretsUpdate:
        """Delete one secret, and return the new `version` of the app's secrets.

        Repeated after a lost response. `version` is None if the response that contained it was lost.
        """
        ask = request("secrets.delete", app, parts=(name,), to="DELETE apps/{}/secrets/{}", repeat=Repeat.ANYTIME)
        return await self._caller.remove(ask, SecretsUpdate) or SecretsUpdate()


def _as_of(*, show_secrets: bool | None, min_version: int | None) -> dict[str, QueryValue]:
    # The documentation names it min_version, the official client sends version.
    return {"min_version": min_version, "version": min_version, "show_secrets": show_secrets}
