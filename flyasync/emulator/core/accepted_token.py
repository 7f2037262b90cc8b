"""The tokens that an emulator accepts, and what each permits."""

import math
from functools import lru_cache

from attrs import Attribute, field, frozen, validators

_SCHEMES = ("flyv1 ", "bearer ")


# Cached: a client sends the same header with each request.
@lru_cache(maxsize=64)
def bare(authorization: str) -> str:
    """Return an Authorization header without its scheme; `Bearer FlyV1 fm2_…` has two, a common mistake that works."""
    text = authorization.strip()
    while text.lower().startswith(_SCHEMES):
        text = text.split(" ", 1)[1].strip()
    return text


def is_scheme(text: str) -> bool:
    """Whether a text is only the name of a scheme."""
    return f"{text.lower()} " in _SCHEMES


@frozen(kw_only=True)
class AcceptedToken:
    """A token that an emulator accepts, and what it permits.

    Args:
        value: The token, with or without its scheme. It appears in no repr, log or error.
        org: The slug of the only organization that it permits; None for all.
        app: The only app that it permits, as a deploy token of Fly does; None for all apps of `org`. Such a token
            cannot list or create apps, or list the machines of an organization.
        read_only: Whether it permits only requests that change nothing.
        expires: The emulated seconds after the start from which it is refused with 401, 0 for an expired one; None for
            a token that does not expire.

    What a token does not permit is refused with 403. Raises ValueError for an invalid value; the error does not show
    the token.
    """

    value: str = field(repr=False, kw_only=False, validator=validators.instance_of(str))
    org: str | None = None
    app: str | None = None
    read_only: bool = False
    expires: float | None = field(default=None)

    @value.validator
    def _can_be_sent(self, attribute: "Attribute[str]", value: str) -> None:
        text = bare(value)
        if not text or is_scheme(text) or not text.isascii() or not text.isprintable() or " " in text:
            raise ValueError(f"{attribute.name}: a token needs printable ASCII without spaces")

    @expires.validator
    def _is_a_time(self, attribute: "Attribute[float | None]", value: float | None) -> None:
        if value is not None and not 0 <= value < math.inf:
            raise ValueError(f"{attribute.name} is {value}, but must be a number of seconds, 0 or more")

    @property
    def key(self) -> str:
        """The item that a header must contain: the first one, as the others are discharges."""
        return bare(self.value).split(",")[0].strip()
