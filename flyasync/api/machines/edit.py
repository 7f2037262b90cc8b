"""Operations based on a machine's current config: modify, clone, and the metadata for adopt and release."""

import asyncio
import math
import random
from collections.abc import Awaitable, Callable, Mapping
from contextlib import AsyncExitStack, suppress
from typing import Any, Final, Protocol, TypedDict, Unpack

from attrs import evolve

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
from flyasync.models.lint.linter import check_config, refuse
from flyasync.models.machine import GONE, TRANSIENT_STATES, Machine

Change = Callable[[MachineConfig], MachineConfig]

_PAUSE: Final = 1.0  # seconds between two attempts to acquire the lease, which is limited to one request a second
_PAUSES: Final = (1.0, 2.5, 6.0, 15.0, 40.0)  # seconds after each conflict, for as long as a stop or a start may take
_CHANGING: Final = (TRANSIENT_STATES - GONE) | {"created"}
_GROUP: Final = "fly_process_group"
_PLATFORM: Final = "fly_platform_version"
# After a lost response, the lease may be ours with an unknown nonce; it expires too.
_NO_LEASE_YET: Final = (LeaseHeld, ConnectionLost, NoReplyInTime, TimedOut, ServerFault)
_NOT_TO_CLONE: Final = ("mounts", "standbys")
_EXCLUSIVE: Final = {"size": "guest", "guest": "size"}
# Metadata that names the launch or deploy of a machine; a clone belongs to none.
_OF_ONE_LAUNCH: Final = frozenset({
    "fly_canary", "fly_bluegreen_deployment_tag", "fly_flyctl_bluegreen_launch_id",
})  # fmt: skip


class UpdateOptions(TypedDict, total=False):
    """The options of an update, as `fly.machines.update` documents them."""

    nonce: str | None
    current_version: str | None
    skip_launch: bool | None
    skip_service_registration: bool | None
    lease_ttl: int | None
    skip_secrets: bool | None
    min_secrets_version: int | None


class UpdateMachine(Protocol):
    """Replaces a machine's whole config, which has been checked."""

    async def __call__(
        self, app: str, machine_id: str, config: MachineConfig, /, **options: Unpack[UpdateOptions]
    ) -> Machine:
        """Update a machine."""


class Editor:
    """Changes the config of machines: reads, changes and updates a machine while holding its lease."""

    def __init__(self, get: Callable[[str, str], Awaitable[Machine]], update: UpdateMachine, leases: Leases) -> None:
        self._get = get
        self._update = update
        self._leases = leases

    async def modify(
        self,
        app: str,
        machine_id: str,
        change: Change,
        *,
        ttl: int,
        patience: float,
        **options: Unpack[UpdateOptions],
    ) -> Machine:
        """Change a machine's config as documented in `fly.machines.modify`; return the changed machine."""
        # Read without a lease first: if nothing changes, one request is enough.
        machine = await self._get(app, machine_id)
        if _changed(machine, change) is None:
            return machine
        clock = asyncio.get_running_loop().time
        until = clock() + patience
        pauses = iter(_PAUSES)
        while True:
            async with AsyncExitStack() as stack:
                mine = options
                # Unless the caller passed the nonce of its lease, acquire one; wait while another client holds it.
                while mine.get("nonce") is None:
                    hold = self._leases.hold(app, machine_id, ttl=ttl, description="flyasync modify")
                    try:
                        lease = await stack.enter_async_context(hold)
                        mine = {**options, "nonce": lease.nonce}
                    except _NO_LEASE_YET:
                        if clock() + _PAUSE >= until:
                            raise
                        await asyncio.sleep(_PAUSE * random.uniform(0.5, 1.5))  # noqa: S311 - spreads writers only
                result = await self._attempt(app, machine_id, change, mine)
            if isinstance(result, Machine):
                return result
            # A temporary conflict. During the pause, other clients may acquire the lease.
            pause = next(pauses, math.inf) * random.uniform(0.5, 1.5)  # noqa: S311 - spreads writers only
            if clock() + pause >= until:
                raise result
            await asyncio.sleep(pause)

    async def _attempt(self, app: str, machine_id: str, change: Change, options: UpdateOptions) -> Machine | Conflict:
        """Make one attempt to change the machine; return the machine, or a temporary conflict."""
        # Read again, since only the lease keeps other clients from changing the machine.
        machine = await self._get(app, machine_id)
        if (config := _changed(machine, change)) is None:
            return machine
        update: UpdateOptions = {**options, "current_version": machine.current_version}
        try:
            return await self._update(app, machine_id, config, **update)
        # 1. A client without the lease was faster: the next attempt reads its change.
        except StaleVersion as stale:
            return stale
        # 2. The machine is changing its state, which is temporary; in any other state a retry would not help.
        except WrongState as wrong:
            if machine.state not in _CHANGING:
                with suppress(FlyError):
                    machine = await self._get(app, machine_id)
            if machine.state in _CHANGING:
                return wrong
            raise
        # 3. The response was lost: the machine shows whether the update happened.
        except FlyError as error:
            if error.may_have_happened:
                with suppress(FlyError):
                    now = await self._get(app, machine_id)
                    is_new = now.current_version != machine.current_version
                    if is_new and now.config is not None and same(now.config, config):
                        return now
            raise


def _changed(machine: Machine, change: Change) -> MachineConfig | None:
    """Return the config to send; None if there is nothing to change. Raise InvalidInput for what would be refused."""
    config = _whole(machine)
    desired: Any = change(config)
    if not isinstance(desired, MachineConfig):
        raise InvalidInput(
            f"change returned {type(desired).__name__}, but must return a MachineConfig, for example by attrs.evolve"
        )
    if same(config, desired):
        return None
    # Problems that the current config already has do not prevent other changes.
    known = set(check_config(config))
    refuse(finding for finding in check_config(desired) if finding not in known)
    return desired


def _whole(machine: Machine) -> MachineConfig:
    """Return the machine's config. Raise InvalidInput if it is incomplete, since it must not be sent back then."""
    if machine.config is None or not machine.host_is_ok:
        raise InvalidInput(
            f"the config of machine {machine.id} is incomplete, since its host is {machine.host_status or 'unknown'}: "
            "wait until the host is back, or create another machine from your own config"
        )
    return machine.config


def clone_config(source: Machine, changes: Mapping[str, Any]) -> MachineConfig:
    """Return the config for a clone of `source`, with `changes`, and without data that is specific to `source`.

    Raise InvalidInput if the config is incomplete, or has mounts or standbys that `changes` does not replace.
    """
    config = _whole(source)
    tied = [name for name in _NOT_TO_CLONE if getattr(config, name) and name not in changes]
    if tied:
        names = " and ".join(tied)
        raise InvalidInput(
            f"machine {source.id} has {names}, which cannot be cloned",
            python=f"pass {', '.join(f'{name}=' for name in tied)} for the clone, or an empty list for none",
            command="create a machine with: flyasync machines run",
        )
    kept = {key: value for key, value in (config.metadata or {}).items() if not is_of_one_launch(key)}
    replaced = {other: None for name, other in _EXCLUSIVE.items() if changes.get(name) is not None}
    return evolve(config, **{"metadata": kept, **replaced, **changes})


def is_of_one_launch(key: str) -> bool:
    """Whether a metadata key names the launch or deploy of a machine, and must not be copied to another machine."""
    return key in _OF_ONE_LAUNCH or key.startswith(OURS)


def flyctl_metadata(process_group: str | None) -> dict[str, str | None]:
    """Return the metadata with which flyctl manages a machine in a group; without a group, the metadata to remove."""
    if process_group is not None and not process_group.strip():
        raise InvalidInput(f"{process_group!r} is not a process group: use one of fly.toml, such as 'app'")
    return {_PLATFORM: None if process_group is None else "v2", _GROUP: process_group}
