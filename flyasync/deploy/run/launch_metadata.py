"""The metadata and the image digest that a deploy adds to every config it sends."""

import asyncio
from collections import defaultdict
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from attrs import evolve

from flyasync.deploy.plan.config_merge import REPLACED_IMAGE, SECRETS, UNVERIFIED
from flyasync.deploy.plan.spec import DeploySpec
from flyasync.models.config import MachineConfig
from flyasync.models.image import at_digest, digest_of, runs
from flyasync.models.machine import Machine


class LaunchMetadata:
    """Adds to configs the digest of the image, and metadata that records which secrets a machine starts with.

    If the digest of a tag is unknown, the first machine that is created or updated with the tag shows the digest, and
    the other machines get the same digest. `secrets_version` is the minimum version of the secrets for every machine.
    """

    def __init__(self, spec: DeploySpec) -> None:
        self._spec = spec
        self._digests: dict[str, str | None] = {}
        self._locks: defaultdict[str, asyncio.Lock] = defaultdict(asyncio.Lock)

    @property
    def image(self) -> str:
        """The image of the spec, with its digest if that is known by now."""
        return self._pinned(self._spec.image)

    @property
    def is_unknown(self) -> bool:
        """Whether machines were created or updated, and none of them showed the digest of the spec's image."""
        return self._digests.get(self._spec.image, "") is None

    @property
    def secrets_version(self) -> int | None:
        """The minimum version of the secrets that every machine starts with."""
        return self._spec.secrets_version

    def demand(self, secrets_version: int | None) -> None:
        """Set the minimum version of the secrets for every machine that starts from now on."""
        self._spec = evolve(self._spec, secrets_version=secrets_version)

    def is_awaited(self, image: str | None) -> bool:
        """Whether another machine is being created or updated with this tag, and its digest is awaited."""
        return image is not None and image not in self._digests and image in self._locks and self._locks[image].locked()

    async def turn(self, image: str | None) -> asyncio.Lock | None:
        """Wait while another machine is to show the digest of this tag; return the lock to release if none has."""
        if not image or digest_of(image) is not None or image in self._digests:
            return None
        lock = self._locks[image]
        await lock.acquire()
        if image not in self._digests:
            return lock
        lock.release()  # another machine has shown it in the meantime
        return None

    @asynccontextmanager
    async def in_turn(self, image: str | None) -> AsyncIterator[None]:
        """Serialize machines whose tag has an unknown digest, until a response has shown the digest."""
        lock = await self.turn(image)
        try:
            yield
        finally:
            if lock:
                lock.release()

    def learn(self, machine: Machine) -> None:
        """Record the digest that a machine was created or updated with."""
        image = machine.config and machine.config.image
        if image and digest_of(image) is None:
            self._digests.setdefault(image, digest_of(machine.image))

    def added_to(
        self, config: MachineConfig, *, before: Machine | None = None, is_unverified: bool = False
    ) -> MachineConfig:
        """Return the config to send; `before` is the machine that is updated, if any.

        A machine that `is_unverified` is marked, so that a later deploy verifies it if this one does not.
        """
        image = config.image
        if image and not (self._spec.only_secrets or self._spec.keeps_config):
            image = self._pinned(image)
        metadata = {key: value for key, value in (config.metadata or {}).items() if key != UNVERIFIED}
        if is_unverified and not self._spec.strategy.only_adds:  # a launch verifies all its machines each time
            metadata[UNVERIFIED] = self._spec.launch
        # A restored machine that flyasync had never deployed has no such metadata, and gets none.
        if SECRETS in metadata:
            metadata |= self._spec.starting(MachineConfig()).metadata or {}
        # An undo needs the digest that this update replaces; the old config may contain only the tag.
        old = before.image if before and before.config and digest_of(before.config.image) is None else None
        if digest_of(old) and not runs(old, image):
            metadata[REPLACED_IMAGE] = str(old)
        return evolve(config, image=image, metadata=metadata or (config.metadata and {}))

    def _pinned(self, image: str) -> str:
        return at_digest(image, self._digests.get(image))
