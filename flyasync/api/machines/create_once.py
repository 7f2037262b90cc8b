"""Create a machine exactly once with an API whose creates are not idempotent."""

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Mapping
from contextlib import suppress
from functools import partial
from secrets import token_hex
from typing import Protocol, TypedDict, Unpack

from attrs import Factory, define, evolve

from flyasync.api.machines.named_volumes import NamedVolumes, mounting
from flyasync.cancellation import ended
from flyasync.errors import FlyError, NameTaken, NoCapacity, NoFreeVolume, NotFound, RateLimited, Scope, VolumeInUse
from flyasync.models.config import MachineConfig
from flyasync.models.lint.linter import check_config, refuse
from flyasync.models.machine import GONE, Machine
from flyasync.models.volume import Volume
from flyasync.transport.request import Flight
from flyasync.transport.retries import RetryPolicy, retrying

OURS = "flyasync_"
"""The prefix of all our metadata keys; each describes one machine only."""

LAUNCH = f"{OURS}launch"
"""The metadata key that names the launch that a machine was created for."""

CREATION = f"{OURS}creation"
"""The metadata key for the id of the `Creation` that made a machine, to recognize it after a lost response."""


class CreateOptions(TypedDict, total=False):
    """The options that `create_once` passes on to `fly.machines.create`, which documents them."""

    region: str | Iterable[str] | None
    skip_launch: bool | None
    skip_service_registration: bool | None
    lease_ttl: int | None
    skip_secrets: bool | None
    min_secrets_version: int | None


class Creator(Protocol):
    """Sends one create, as `fly.machines.create` does."""

    async def __call__(
        self, app: str, config: MachineConfig, /, *, name: str, flight: Flight, **options: Unpack[CreateOptions]
    ) -> Machine:
        """Create a machine."""


class Lister(Protocol):
    """Lists an app's machines, as `fly.machines.list` does."""

    async def __call__(self, app: str, /, *, metadata: Mapping[str, str] | None) -> tuple[Machine, ...]:
        """List those with that metadata."""


@define(kw_only=True)
class Creation:
    """A machine to be created once, with its state, which is also valid after an error or a cancellation."""

    app: str
    """The app."""

    config: MachineConfig
    """The machine's config."""

    name: str
    """The machine's name, unique in the app."""

    launch: str
    """The launch tag; together with `name` it identifies the machine."""

    options: CreateOptions = Factory(CreateOptions)
    """The other options of `fly.machines.create`."""

    id: str = Factory(partial(token_hex, 8))
    """The id of this creation, which is written to the machine's metadata."""

    on_leave: Callable[[], None] | None = None
    """Called each time a request is sent."""

    is_urgent: bool = False
    """Queue the create before all other creates of its app that have not been sent yet."""

    machine: Machine | None = None
    """The machine, once it has been created or found."""

    adopted: bool = False
    """Whether the machine existed before, or another client created it: its metadata has another `id`."""

    may_have_happened: bool = False
    """Whether the result of a request is unknown."""

    refusal: FlyError | None = None
    """A definite refusal that was received while the result of an earlier request was unknown."""

    volume: Volume | None = None
    """The free volume that was chosen for a mount that names one."""

    refused_volumes: set[str] = Factory(set)
    """The ids of volumes that were chosen before, and that the machine could not get."""

    @property
    def volume_name(self) -> str | None:
        """The name of the volume if the config mounts one by its name instead of its id."""
        return next((each.volume_name for each in self.config.mounts or ()), None)

    def choose(self, volume: Volume) -> None:
        """Record the volume that the machine is to mount."""
        self.volume = volume

    def lose_volume(self) -> None:
        """Record that the machine could not get its volume, so that another one is chosen."""
        if self.volume:
            self.refused_volumes.add(self.volume.id)
        self.volume = None

    def known(self, machine: Machine) -> Machine:
        """Record that the machine was created or found, so that its state is no longer unknown; return it."""
        self.machine, self.may_have_happened = machine, False
        return machine

    def found(self, machine: Machine) -> Machine:
        """Record that the machine of this launch was found, and whether this creation made it; return it."""
        self.adopted = _tag(machine, CREATION) != self.id
        return self.known(machine)

    def doubt(self, *, is_in_doubt: bool = True) -> None:
        """Record whether a request may have created a machine that no response has shown."""
        self.may_have_happened = is_in_doubt

    def failed(self, error: FlyError) -> None:
        """Record the failure of a create, and set on `error` whether any create that was sent may have happened."""
        if self.may_have_happened and not error.may_have_happened:
            self.refusal = error
        self.may_have_happened |= error.may_have_happened
        error.may_have_happened = self.may_have_happened


class CreateOnce:
    """Creates each machine once: its unique name prevents a second one, its launch tag shows which launch made it."""

    def __init__(
        self,
        create: Creator,
        get: Callable[[str, str], Awaitable[Machine]],
        list_: Lister,
        policy: RetryPolicy,
        expected_wait: Callable[[str, int], float | None] = lambda _app, _ahead: None,
        *,
        volumes: NamedVolumes,
    ) -> None:
        self._create = create
        self._expected_wait = expected_wait
        self._get = get
        self._list = list_
        self._volumes = volumes
        # Twice the attempts of other calls, since giving up may leave a machine that no client knows of.
        patient = evolve(policy, attempts=2 * policy.attempts)
        self._persistently = retrying(patient, _is_in_doubt, self._attempt)

    def expected_wait(self, app: str, *, ahead: int = 0) -> float | None:
        """Return the seconds that a create sent now would wait in the queue of the app's create limit.

        It counts the creates that wait there, or `ahead` creates if these are more. 0 if it would not wait; None if the
        time is not known, as when several clients share the limit.
        """
        return self._expected_wait(app, ahead)

    async def create(self, creation: Creation) -> Machine:
        """Create or find the machine and return it; `creation` is up to date even after an error."""
        if creation.volume_name:  # the volumes are listed before `create` checks the config
            refuse(check_config(creation.config, volumes_by_name=True))
        try:
            return creation.known(await self._persistently(creation))
        finally:
            if creation.volume:
                self._volumes.release(creation.volume)

    async def _attempt(self, creation: Creation) -> Machine:
        # 1. The result of an earlier create is unknown: look up its machine by its launch. If it is not found, it may
        #    still exist, since lists lag; then the unique name protects the next create.
        if creation.may_have_happened:
            machine = await self._find(creation, metadata={LAUNCH: creation.launch})
            if machine and _tag(machine, LAUNCH) == creation.launch:
                return creation.found(machine)
        # 2. Meanwhile the API has permanently refused a create, and would refuse the next one too. Only finding the
        #    machine of the earlier create could have resolved the doubt.
        if creation.refusal:
            raise creation.refusal
        try:
            return await self._send_with_volume(creation)
        # 3. The name is in use by a machine
        except NameTaken as taken:
            machine = await self._find(creation, existing_id=taken.existing_id)
            # a. that the API does not show yet, which may be ours: look it up again later;
            if machine is None:
                creation.doubt()
                taken.may_have_happened = True
                raise
            # b. of another launch, which has nothing to do with this one;
            if _tag(machine, LAUNCH) != creation.launch:
                creation.doubt(is_in_doubt=False)
                taken.explained(
                    f"The name belongs to another launch: choose another name than {creation.name!r}, or another launch"
                )
                raise
            # c. of this launch, created by an earlier create or by another client.
            return creation.found(machine)
        # 4. No volume of the name is free. An earlier create, or another client, may have created the machine with one.
        except NoFreeVolume as error:
            machine = await self._find(creation, metadata={LAUNCH: creation.launch})
            if machine and _tag(machine, LAUNCH) == creation.launch:
                return creation.found(machine)
            creation.failed(error)
            raise
        # 5. Any other failure: if a machine may exist, the next attempt looks it up first.
        except FlyError as error:
            creation.failed(error)
            raise

    async def _send_with_volume(self, creation: Creation) -> Machine:
        """Send a create, with a free volume if the config names one; with another one if the API refuses that."""
        full: NoCapacity | None = None
        while True:
            if creation.volume is None and (name := creation.volume_name):
                region, refused = creation.options.get("region"), creation.refused_volumes
                try:
                    creation.choose(await self._volumes.choose(creation.app, name, region, refused=refused))
                except NoFreeVolume as error:
                    raise full or error from None
            try:
                return await self._send(creation)
            # 1. The config has the id of the volume, or the region is full: another volume would not help.
            except NoCapacity as error:
                if creation.volume is None or error.scope is not Scope.VOLUME_HOST:
                    raise
                full = error
            # 2. An earlier create, whose response was lost, has created the machine with this volume.
            except VolumeInUse as held:
                machine = await self._find(creation, existing_id=held.machine_id) if held.machine_id else None
                if machine and _tag(machine, LAUNCH) == creation.launch:
                    return creation.found(machine)
                if creation.volume is None:
                    raise
            # 3. Another client was faster, or the host of the volume is full: try another volume.
            self._volumes.release(creation.volume)
            creation.lose_volume()

    async def _send(self, creation: Creation) -> Machine:
        """Send one create. Cancelled after that, wait for its response, which shows whether a machine exists."""
        flight = Flight(on_leave=creation.on_leave, is_urgent=creation.is_urgent)
        tags = {LAUNCH: creation.launch, CREATION: creation.id}
        config, options = creation.config, creation.options
        if volume := creation.volume:
            config, options = mounting(config, volume), {**options, "region": volume.region}
        config = evolve(config, metadata={**(config.metadata or {}), **tags})
        create = asyncio.ensure_future(self._create(creation.app, config, name=creation.name, flight=flight, **options))
        try:
            return await asyncio.shield(create)
        except asyncio.CancelledError as cancelled:
            was_in_doubt = creation.may_have_happened
            creation.doubt(is_in_doubt=was_in_doubt or flight.is_out)
            flight.abandon()
            # 1. It has not been sent: nothing has happened, and it must not be sent any more.
            if not flight.is_out:
                create.cancel()
            # 2. It has been sent: wait for the response. 3. A second cancellation ends that too, and the doubt remains.
            await ended(create, cancelled)
            with suppress(asyncio.CancelledError):
                try:
                    creation.known(create.result())
                except FlyError as error:
                    creation.doubt(is_in_doubt=was_in_doubt or error.may_have_happened)
            raise

    async def _find(
        self, creation: Creation, *, existing_id: str | None = None, metadata: Mapping[str, str] | None = None
    ) -> Machine | None:
        """Return the machine with the name of the creation if the API shows it and it is not being destroyed."""
        try:
            if existing_id:
                machines: tuple[Machine, ...] = (await self._get(creation.app, existing_id),)
            else:
                machines = await self._list(creation.app, metadata=metadata)
        except NotFound:
            return None
        except FlyError as error:
            error.may_have_happened = True  # a failed look-up does not resolve the doubt
            raise
        return next((each for each in machines if each.name == creation.name and each.state not in GONE), None)


def _tag(machine: Machine, key: str) -> str | None:
    config = machine.config or machine.incomplete_config
    return ((config and config.metadata) or {}).get(key)


def _is_in_doubt(error: Exception) -> bool:
    # A rate limited look-up has already been retried for as long as a call may take.
    return isinstance(error, FlyError) and error.may_have_happened and not isinstance(error, RateLimited)
