"""What is more than one request, because an update replaces a whole config: modify, clone, adopt, release."""

import asyncio
import math
import random
from abc import ABC, abstractmethod
from collections.abc import Awaitable, Callable, Mapping
from contextlib import AbstractAsyncContextManager, AsyncExitStack
from functools import partial
from typing import Any, Final, TypeVar

from attrs import evolve, fields_dict

from flyasync.api.machines.create_once import OURS
from flyasync.api.machines.leases import Leases
from flyasync.errors import (
    Conflict,
    ConnectionLost,
    FlyError,
    InvalidInput,
    LeaseHeld,
    NoReplyInTime,
    ServerFault,
    StaleVersion,
    TimedOut,
    WrongState,
)
from flyasync.models.config import MachineConfig
from flyasync.models.diff import same
from flyasync.models.lease import Lease
from flyasync.models.lint.linter import check_config, refuse
from flyasync.models.machine import GONE, TRANSIENT_STATES, Machine

Result = TypeVar("Result")

_PAUSE: Final = 1.0  # seconds between tries; leases are limited to one request a second in any case
_PAUSES: Final = (1.0, 2.5, 6.0, 15.0, 40.0)  # as long as it may take a machine to stop or to start
_ON_ITS_WAY: Final = (TRANSIENT_STATES - GONE) | {"created"}
_GROUP: Final = "fly_process_group"
_PLATFORM: Final = "fly_platform_version"
# After a lost answer the lease may be ours without our knowing its nonce; then, too, it ends by itself.
_NO_LEASE_YET: Final = (LeaseHeld, ConnectionLost, NoReplyInTime, TimedOut, ServerFault)
_NOT_TO_CLONE: Final = ("mounts", "standbys")
_EXCLUSIVE: Final = {"size": "guest", "guest": "size"}
# What says of one machine which launch or deploy it belongs to; a clone belongs to none.
_OF_ONE_LAUNCH: Final = frozenset({
    "fly_canary", "fly_bluegreen_deployment_tag", "fly_flyctl_bluegreen_launch_id",
})  # fmt: skip


class Changes(ABC):
    """What comes on top of the plain operations on machines: changes that start from what is there."""

    def __init__(self, leases: Leases) -> None:
        self._leases = leases

    @abstractmethod
    async def get(self, app: str, machine_id: str) -> Machine:
        """Get one machine."""

    @abstractmethod
    async def create(
        self,
        app: str,
        config: MachineConfig,
        *,
        name: str | None = None,
        region: str | None = None,
        skip_launch: bool | None = None,
    ) -> Machine:
        """Create a machine."""

    @abstractmethod
    async def _update(
        self, app: str, machine_id: str, config: MachineConfig, *, nonce: str | None, **options: Any
    ) -> Machine:
        """Replace a machine's whole config, by one that is checked already."""

    @abstractmethod
    async def patch_metadata(self, app: str, machine_id: str, metadata: Mapping[str, str | None]) -> None:
        """Set keys of a machine's metadata, and remove those given as None."""

    async def modify(
        self,
        app: str,
        machine_id: str,
        change: Callable[[MachineConfig], MachineConfig],
        *,
        ttl: int = 30,
        patience: float = 120.0,
        nonce: str | None = None,
        skip_launch: bool | None = None,
        min_secrets_version: int | None = None,
    ) -> Machine:
        """Change a machine's config by a function from what is there to what shall be; give the machine as it is then.

            await fly.machines.modify("web", id, lambda config: evolve(config, schedule="daily"))

        `change` sees a config read under the machine's lease of `ttl` seconds, refreshed while it is held, or under the
        lease that you hold and give the `nonce` of; and what it leaves alone stays, unknown keys too. It may be called
        several times, so it must do nothing but give a config.
        Nothing is sent when the config it gives means the same as the one there: nulls, empties, and the spellings of
        autostop and durations do not count. Otherwise it is an `update`: a started machine restarts.

        While somebody else holds the lease, it tries again for up to `patience` seconds; then LeaseHeld comes out. When
        somebody was faster, or the machine is on its way to another state, it tries up to six times within `patience`,
        each time from a fresh read, at growing pauses in which others may have the lease; then StaleVersion or
        WrongState comes out. WrongState of a machine that stays as it is comes out at once.

        Raises InvalidInput, before anything is sent, when the API would refuse what is new in the config (what is wrong
        with it already stands in no change's way), and when the config there is not known whole. After a lost answer
        the machine is read once more, and an error is raised only if the change is not seen on it. Metadata written by
        others between its read and its update is lost: that is milliseconds as a rule, but longer when the update has
        to wait for its turn or after a 429. Cancelled, it may have been done; the lease is given back.
        """
        machine = await self.get(app, machine_id)
        if _wanted(machine, change) is None:
            return machine
        until = asyncio.get_running_loop().time() + patience
        options = {"skip_launch": skip_launch, "min_secrets_version": min_secrets_version}
        attempt = partial(self._modify_once, app, machine_id, change, options=options)
        if nonce is not None:
            return await _at_growing_pauses(until, partial(attempt, nonce=nonce))
        hold = partial(self._leases.hold, app, machine_id, ttl=ttl, description="flyasync modify")
        return await _at_growing_pauses(until, partial(_under_lease, until, hold, attempt))

    async def _modify_once(
        self,
        app: str,
        machine_id: str,
        change: Callable[[MachineConfig], MachineConfig],
        *,
        nonce: str,
        options: Mapping[str, Any],
    ) -> Machine | Conflict:
        """Change the machine, or give the conflict that passes."""
        machine = await self.get(app, machine_id)
        wanted = _wanted(machine, change)
        if wanted is None:
            return machine
        version = machine.current_version
        try:
            return await self._update(app, machine_id, wanted, current_version=version, nonce=nonce, **options)
        except StaleVersion as stale:
            return stale
        except WrongState as wrong:
            if machine.state in _ON_ITS_WAY or await self._is_on_its_way(app, machine_id):
                return wrong
            raise
        except FlyError as error:
            landed = await self._landed(app, machine, wanted) if error.may_have_happened else None
            if landed is None:
                raise
            return landed

    async def _is_on_its_way(self, app: str, machine_id: str) -> bool:
        try:
            return (await self.get(app, machine_id)).state in _ON_ITS_WAY
        except FlyError:
            return False

    async def _landed(self, app: str, before: Machine, wanted: MachineConfig) -> Machine | None:
        """Give the machine if an update whose answer was lost is to be seen on it."""
        try:
            machine = await self.get(app, before.id)
        except FlyError:
            return None
        is_new = machine.current_version != before.current_version
        return machine if is_new and machine.config is not None and same(machine.config, wanted) else None

    async def clone(
        self,
        app: str,
        machine_id: str,
        *,
        region: str | None = None,
        name: str | None = None,
        skip_launch: bool | None = None,
        **changes: Any,
    ) -> Machine:
        """Create a machine with the config of another, in its region unless `region` says otherwise.

        `changes` are fields of the config to be set otherwise, such as `guest=` or `env=`; `size=` takes the place of
        the `guest` there, and the other way round. All else is carried over,
        unknown keys and the metadata too, so that the clone belongs to the same process group; only the marks of one
        launch or deploy are left behind. A volume belongs to one machine, so a machine with `mounts` is cloned only
        with `mounts=` given, be it empty; `standbys` likewise.

        Raises InvalidInput before any machine is made for what cannot be cloned, a machine whose config is not known
        whole included; else what `create` raises. Like it, not repeated after a lost answer; cancelled, it may have
        been created.
        """
        _demand_fields(changes)
        source = await self.get(app, machine_id)
        config = _cloned(_whole(source), source, changes)
        refuse(check_config(config))
        return await self.create(app, config, name=name, region=region or source.region, skip_launch=skip_launch)

    async def adopt(self, app: str, machine_id: str, *, process_group: str = "app") -> None:
        """Put a machine under flyctl: `fly deploy` and `fly scale` then count it to `process_group`.

        By metadata alone: at once, without a restart or a lease, and safe to repeat. The next `fly deploy` updates it,
        and destroys it if its fly.toml has no such process group. docs: machines/guides-examples/machines-api
        """
        if not process_group.strip():
            raise InvalidInput(f"{process_group!r} is no process group: name one of fly.toml, such as 'app'")
        await self.patch_metadata(app, machine_id, {_PLATFORM: "v2", _GROUP: process_group})

    async def release(self, app: str, machine_id: str) -> None:
        """Take a machine out of flyctl's hands, as `adopt` puts it there: flyctl then shows it as detached.

        By metadata alone: at once, without a restart or a lease, and safe to repeat.
        """
        await self.patch_metadata(app, machine_id, {_PLATFORM: None, _GROUP: None})


async def _patiently(
    until: float, passing: tuple[type[FlyError], ...], attempt: Callable[[], Awaitable[Result]]
) -> Result:
    """Attempt again after each error that is `passing`, for as long as there is time until `until`."""
    clock = asyncio.get_running_loop().time
    while True:
        try:
            return await attempt()
        except passing:
            if clock() + _PAUSE >= until:
                raise
        await asyncio.sleep(_PAUSE * random.uniform(0.5, 1.5))  # noqa: S311 - spreads writers, guards nothing


async def _at_growing_pauses(until: float, attempt: Callable[[], Awaitable[Machine | Conflict]]) -> Machine:
    """Attempt again after a conflict, a handful of times, and as long as there is time until `until`."""
    clock = asyncio.get_running_loop().time
    pauses = iter(_PAUSES)
    while isinstance(outcome := await attempt(), Conflict):
        pause = next(pauses, math.inf) * random.uniform(0.5, 1.5)  # noqa: S311 - spreads writers, guards nothing
        if clock() + pause >= until:
            raise outcome
        await asyncio.sleep(pause)
    return outcome


async def _under_lease(
    until: float,
    hold: Callable[[], AbstractAsyncContextManager[Lease]],
    attempt: Callable[..., Awaitable[Machine | Conflict]],
) -> Machine | Conflict:
    """Attempt with the nonce of a lease, which is awaited until `until`."""
    async with AsyncExitStack() as stack:
        lease = await _patiently(until, _NO_LEASE_YET, lambda: stack.enter_async_context(hold()))
        # Only now does everybody else keep away, so what was read before counts no longer.
        return await attempt(nonce=lease.nonce)


def _wanted(machine: Machine, change: Callable[[MachineConfig], MachineConfig]) -> MachineConfig | None:
    """Give the config that is to be sent; None if there is nothing to change."""
    config = _whole(machine)
    wanted: Any = change(config)
    if not isinstance(wanted, MachineConfig):
        raise InvalidInput(
            f"change gave {type(wanted).__name__}, but must give a MachineConfig: attrs.evolve makes one"
        )
    if same(config, wanted):
        return None
    known = set(check_config(config))
    refuse(finding for finding in check_config(wanted) if finding not in known)
    return wanted


def _whole(machine: Machine) -> MachineConfig:
    """Give the machine's config, if it is all there."""
    if machine.config is None or not machine.host_is_ok:
        raise InvalidInput(
            f"the config of machine {machine.id} is not known whole, with its host {machine.host_status or 'unnamed'}: "
            "wait until the host is back, or create another machine from a config of your own"
        )
    return machine.config


def _demand_fields(changes: Mapping[str, Any]) -> None:
    if unknown := changes.keys() - fields_dict(MachineConfig).keys():
        raise InvalidInput(f"{', '.join(sorted(unknown))}: no such field in a machine's config")


def _cloned(config: MachineConfig, source: Machine, changes: Mapping[str, Any]) -> MachineConfig:
    """Give the config of a clone: all of the source's, but what belongs to that machine alone."""
    tied = [name for name in _NOT_TO_CLONE if getattr(config, name) and name not in changes]
    if tied:
        names = " and ".join(tied)
        raise InvalidInput(
            f"machine {source.id} has {names}, which belong to it alone: give {', '.join(f'{name}=' for name in tied)} "
            "for the clone, an empty list for none"
        )
    kept = {key: value for key, value in (config.metadata or {}).items() if not is_of_one_launch(key)}
    replaced = {other: None for name, other in _EXCLUSIVE.items() if changes.get(name) is not None}
    return evolve(config, **{"metadata": kept, **replaced, **changes})


def is_of_one_launch(key: str) -> bool:
    """Whether a metadata key says which launch or deploy a machine is of; no other machine inherits it."""
    return key in _OF_ONE_LAUNCH or key.startswith(OURS)
