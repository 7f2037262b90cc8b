"""Image references such as `registry.fly.io/web:v2@sha256:…`: a tag, which may move, and a digest, which does not."""

import re
from typing import Final

# An @ may also come before, as in a URL with a password.
_DIGEST: Final = re.compile(r"@(sha\d+:[0-9a-fA-F]+)$")


def digest_of(image: str | None) -> str | None:
    """Return the digest in a reference, or None."""
    found = _DIGEST.search(image or "")
    return found[1] if found else None


def without_digest(image: str) -> str:
    """Return a reference without its digest, such as `registry.fly.io/web:v2`."""
    return _DIGEST.sub("", image)


def at_digest(image: str, digest: str | None) -> str:
    """Return a reference with `digest`, unless that is None or the reference already has a digest."""
    # A malformed digest is omitted, since no registry would find the image.
    pinned = f"{image}@{digest}"
    return pinned if digest and digest_of(pinned) == digest and not digest_of(image) else image


def runs(observed: str | None, desired: str | None) -> bool:
    """Whether a machine with the image `observed` runs the image `desired`, judging by their digests.

    If `desired` has no digest, the names are compared, since it is not known whether the tag has moved. If only
    `observed` has none, the result is False.
    """
    if observed is None or desired is None:
        return observed == desired
    if digest := digest_of(desired):
        return digest_of(observed) == digest
    return without_digest(observed) == desired
