"""Images: references, and the digest that each tag points to."""

import hashlib
from collections import Counter
from typing import Self

from attrs import Factory, define, frozen

from flyasync.emulator.core.go_json import Json

_DOCKER_HUB = "registry-1.docker.io"
_ALIASES = frozenset({"docker.io", "index.docker.io", _DOCKER_HUB})


@frozen(kw_only=True)
class ImageReference:
    """A parsed image reference; `digest` is empty if the reference has none."""

    registry: str
    repository: str
    tag: str
    digest: str

    @classmethod
    def parse(cls, image: str) -> Self:
        """Return a parsed reference, such as `nginx`, `registry.fly.io/web:v2` or `registry.fly.io/web:v2@sha256:…`."""
        rest, _, digest = image.partition("@")
        # A colon starts a tag, unless a slash follows: then it starts a port.
        path, colon, tag = rest.rpartition(":")
        if not colon or "/" in tag:
            path, tag = rest, "" if digest else "latest"
        registry, slash, repository = path.partition("/")
        # The first part is a registry only if it looks like a host; otherwise the image is on Docker Hub.
        if not slash or ("." not in registry and ":" not in registry):
            registry, repository = _DOCKER_HUB, path
        if registry in _ALIASES:
            registry = _DOCKER_HUB
            # Official images of Docker Hub have a prefix that is usually omitted.
            repository = repository if "/" in repository else f"library/{repository}"
        return cls(registry=registry, repository=repository, tag=tag, digest=digest)

    def __str__(self) -> str:
        registry = "docker.io" if self.registry == _DOCKER_HUB else self.registry
        tag = f":{self.tag}" if self.tag else ""
        digest = f"@{self.digest}" if self.digest else ""
        return f"{registry}/{self.repository}{tag}{digest}"


@define
class ImageRegistry:
    """The digest that each tag points to; that of a tag that was never pushed depends on its name alone."""

    _digests: dict[str, str] = Factory(dict)
    _pushes: Counter[str] = Factory(Counter)

    def push(self, image: str) -> str:
        """Move the tag of `image` to its digest, or to a new digest if it has none, and return the digest."""
        reference = ImageReference.parse(image)
        key = _key(reference)
        self._pushes[key] += 1
        self._digests[key] = reference.digest or _digest(f"{key} {self._pushes[key]}")
        return self._digests[key]

    def digest(self, image: str) -> str:
        """Return the digest that a machine would run if it were created with `image` now."""
        reference = ImageReference.parse(image)
        key = _key(reference)
        return reference.digest or self._digests.get(key) or _digest(key)


def image_ref(image: str, digest: str) -> Json:
    """Return the `image_ref` of a machine that runs `image` at `digest`; empty for a machine with containers only."""
    if not image:
        return {}
    found = ImageReference.parse(image)
    named = {"registry": found.registry, "repository": found.repository, "tag": found.tag}
    return {**named, "digest": digest, "labels": {}}


def tag_key(image: str) -> str:
    """Return a reference in full, with its tag and without its digest, so that two names of one tag are equal."""
    return _key(ImageReference.parse(image))


def tagged(image: str) -> str:
    """Return a reference without its digest, if any."""
    return image.partition("@")[0]


def _key(reference: ImageReference) -> str:
    return f"{reference.registry}/{reference.repository}:{reference.tag or 'latest'}"


def _digest(text: str) -> str:
    return f"sha256:{hashlib.sha256(text.encode()).hexdigest()}"
