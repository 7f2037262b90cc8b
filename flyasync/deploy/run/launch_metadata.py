"""What every config that a deploy sends has, and what is known only while it is under way."""

import asyncio
from collections import defaultdict
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from attrs import evolve

from flyasync.deploy.plan.config_merge import REPLACED_IMAGE, SECRETS
from flyasync.deploy.plan.spec import DeploySpec
from flyasync.models.config import MachineConfig
from flyasync.models.image import at_digest, digest_of, runs
from flyasync.models.machine import Machine


class LaunchMetadata:
    """Adds to configs the digest of the image, and the marks of the secrets that a machine starts with.

    Where the digest of a tag is not known, the first machine that is created or updated with it shows the digest, and
    the others get that one. `secrets_version` is the version of the secrets that every machine has to start with at
    least.
    """

    def __init__(self, deployment: DeploySpec) -> None:
        self._deployment = deployment
        self._digests: dict[str, str | None] = {}
        self._locks: defaultdict[str, asyncio.Lock] = defaultdict(asyncio.Lock)

    @property
    def image(self) -> str:
        """The deployment's image, with its digest as far as that is known by now."""
        return self._pinned(self._deployment.image)

    @property
    def is_unknown(self) -> bool:
        """Whether machines were created or updated, and none of them showed the digest of the deployment's image."""
        return self._digests.get(self._deployment.image, "") is None

    @property
    def secrets_version(self) -> int | None:
        """The version of the secrets that every machine has to start with at least."""
        return self._deployment.secrets_version

    def demand(self, secrets_version: int | None) -> None:
        """Have every machine from now on start with this version of the secrets, or a newer one."""
        self._deployment = evolve(self._deployment, secrets_version=secrets_version)

    def is_awaited(self, image: str | None) -> bool:
        """Whether another machine has been sent with this tag, and its digest is awaited."""
        return image is not None and image not in self._digests and image in self._locks and self._locks[image].locked()

    @asynccontextmanager
    async def in_turn(self, image: str | None) -> AsyncIterator[None]:
        """Let one machine send a tag whose digest is not known, and the others wait until a response has shown it."""
        lock = None
        if image and digest_of(image) is None and image not in self._digests:
            lock = self._locks[image]
            await lock.acquire()
            if image in self._digests:  # another one has shown it meanwhile
                lock.release()
                lock = None
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

    def added_to(self, config: MachineConfig, *, before: Machine | None = None) -> MachineConfig:
        """Return a config as it is sent; `before` is the machine that it is an update of."""
        image = config.image
        if image and not self._deployment.only_secrets:
            image = self._pinned(image)
        metadata = {**(config.metadata or {})}
        # A restored machine that no deploy of ours had touched has no marks, and gets none.
        if SECRETS in metadata:
            metadata |= self._deployment.starting(MachineConfig()).metadata or {}
        # An undo reads which digest this one replaces; the config of then may state the tag alone.
        old = before.image if before and before.config and digest_of(before.config.image) is None else None
        if digest_of(old) and not runs(old, image):
            metadata[REPLACED_IMAGE] = str(old)
        return evolve(config, image=image, metadata=metadata or config.metadata)

    def _pinned(self, image: str) -> str:
        return at_digest(image, self._digests.get(image))
