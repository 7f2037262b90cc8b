"""Image references such as `registry.fly.io/web:v2@sha256:…`: a name that may move, and the digest that does not."""


def digest_of(image: str | None) -> str | None:
    """Return the digest that a reference states, if it states one."""
    return (image or "").partition("@")[2] or None


def without_digest(image: str) -> str:
    """Return a reference without the digest that it may state, such as `registry.fly.io/web:v2`."""
    return image.partition("@")[0]


def at_digest(image: str, digest: str | None) -> str:
    """Return a reference with this digest, if it is known; one that states its own is returned as it is."""
    return f"{image}@{digest}" if digest and not digest_of(image) else image


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
