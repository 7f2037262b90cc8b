"""Image references such as `registry.fly.io/web:v2@sha256:…`: a name that may move, and the digest that does not."""

import re
from typing import Final

# An @ may also come before, as in a URL with a password.
_DIGEST: Final = re.compile(r"@(sha\d+:[0-9a-fA-F]+)$")


def digest_of(image: str | None) -> str | None:
    """Return the digest that a reference states, if it states one."""
    found = _DIGEST.search(image or "")
    return found[1] if found else None


def without_digest(image: str) -> str:
    """Return a reference without the digest that it may state, such as `registry.fly.io/web:v2`."""
    return _DIGEST.sub("", image)


def at_digest(image: str, digest: str | None) -> str:
    """Return a reference with this digest, if it is known; one that states its own is returned as it is."""
    # A malformed digest is left out: no registry would find the image.
    pinned = f"{image}@{digest}"
    return pinned if digest and digest_of(pinned) == digest and not digest_of(image) else image


def runs(observed: str | None, desired: str | None) -> bool:
    """Whether a machine with the image `observed` runs the image `desired`: by their digests.

    Where `desired` states no digest, its name decides: it is not known whether its tag has moved. Where only `observed`
    lacks one, the answer is no.
    """
    if observed is None or desired is None:
        return observed == desired
    if digest := digest_of(desired):
        return digest_of(observed) == digest
    return without_digest(observed) == desired
