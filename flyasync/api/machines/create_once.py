"""Creating a machine exactly once over an API whose creates are not idempotent."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from functools import partial
from secrets import token_hex
from typing import Any

from attrs import Factory, define, evolve, field

from flyasync.errors import FlyError, NameTaken, NotFound, RateLimited
from flyasync.models.config import MachineConfig
from flyasync.models.machine import GONE, Machine
from flyasync.transport.request import Flight
from flyasync.transport.retries import RetryPolicy, retrying

OURS = "flyasync_"
"""What all our metadata keys begin with: each says something of one machine alone."""

LAUNCH = f"{OURS}launch"
"""The metadata key that says which launch a machine was made for."""

CREATION = f"{OURS}creation"
"""The metadata key that says which `Creation` made a machine: only so can it know its own after a lost answer."""


@define(kw_only=True)
class Creation:
    """A machine to be created once, and what is known of it so far, also after an error or a cancellation.

    `machine` is there once it was made or found, `adopted` when it was there before or somebody else made it: `id` is
    in its metadata, so that it says itself whose it is. `may_have_happened` while some request is unexplained.
    `refusal` is a certain no that came while an earlier request was still unexplained. `on_leave` is called each time
    that a request leaves. One that `is_urgent` goes ahead of all other creates of its app that have not left yet.
    """

    app: str
    config: MachineConfig
    name: str
    launch: str
    options: Mapping[str, Any] = Factory(dict)
    id: str = Factory(partial(token_hex, 8))
    on_leave: Callable[[], None] = field(default=lambda: None)
    is_urgent: bool = False
    machine: Machine | None = None
    adopted: bool = False
    may_have_happened: bool = False
    refusal: FlyError | None = None


class Once:
    """Makes each machine once: its unique name turns away a second create, its launch tag tells whose it is."""

    def __init__(
        self,
        create: Callable[..., Awaitable[Machine]],
        get: Callable[[str, str], Awaitable[Machine]],
        list_: Callable[..., Awaitable[tuple[Machine, ...]]],
        policy: RetryPolicy,
    ) -> None:
        self._create = create
        self._get = get
        self._list = list_
        # Twice the patience of other calls: giving up here leaves a machine that nobody may know of.
        patient = evolve(policy, attempts=2 * policy.attempts)
        self._persistently = retrying(patient, _is_in_doubt, self._attempt)

    async def create(self, creation: Creation) -> Machine:
        """Give the machine, made now or found; `creation` knows what there is to know, whatever comes out."""
        creation.machine = await self._persistently(creation)
        creation.may_have_happened = False
        return creation.machine

    async def _attempt(self, creation: Creation) -> Machine:
        if creation.may_have_happened:
            # That there is none here proves nothing, for lists lag; the name then guards the next create.
            machine = await self._named(creation, metadata={LAUNCH: creation.launch})
            if machine and _tag(machine, LAUNCH) == creation.launch:
                creation.adopted = _tag(machine, CREATION) != creation.id
                return machine
        if creation.refusal:
            raise creation.refusal  # asked again it would be refused again; only looking can clear the doubt
        try:
            return await self._send(creation)
        except NameTaken as taken:
            return await self._adopt(creation, taken)
        except FlyError as error:
            self._weigh(creation, error)
            raise

    def _weigh(self, creation: Creation, error: FlyError) -> None:
        if creation.may_have_happened and not error.may_have_happened:
            creation.refusal = error
        creation.may_have_happened |= error.may_have_happened
        error.may_have_happened = creation.may_have_happened

    async def _send(self, creation: Creation) -> Machine:
        """Send one create; cancelled after it left, hear the answer out, since it tells what there is now.

        A second cancellation cuts it nevertheless.
        """
        flight = Flight(on_leave=creation.on_leave, is_urgent=creation.is_urgent)
        tags = {LAUNCH: creation.launch, CREATION: creation.id}
        config = evolve(creation.config, metadata={**(creation.config.metadata or {}), **tags})
        create = asyncio.ensure_future(
            self._create(creation.app, config, name=creation.name, flight=flight, **creation.options)
        )
        try:
            return await asyncio.shield(create)
        except asyncio.CancelledError:
            in_doubt = creation.may_have_happened
            creation.may_have_happened |= flight.is_out
            flight.is_abandoned = True
            if not flight.is_out:
                create.cancel()
            await _hear_out(create, creation, in_doubt=in_doubt)
            raise

    async def _adopt(self, creation: Creation, taken: NameTaken) -> Machine:
        """Give the machine that has the name, if it is of the same launch."""
        machine = await self._named(creation, existing_id=taken.existing_id)
        if machine is None:
            # Somebody has the name, and it may be this very machine, not visible yet.
            creation.may_have_happened = taken.may_have_happened = True
            raise taken
        if _tag(machine, LAUNCH) != creation.launch:
            creation.may_have_happened = False
            raise taken.explained(
                f"It belongs to another launch: choose another name than {creation.name!r}, or another launch"
            )
        creation.adopted = _tag(machine, CREATION) != creation.id
        return machine

    async def _named(
        self, creation: Creation, *, existing_id: str | None = None, metadata: Mapping[str, str] | None = None
    ) -> Machine | None:
        """Give the machine of that name, unless it is on its way out, as far as the API shows it."""
        try:
            if existing_id:
                machines: tuple[Machine, ...] = (await self._get(creation.app, existing_id),)
            else:
                machines = await self._list(creation.app, metadata=metadata)
        except NotFound:
            return None
        except FlyError as error:
            error.may_have_happened = True  # whatever hides the machine leaves the doubt
            raise
        return next((each for each in machines if each.name == creation.name and each.state not in GONE), None)


async def _hear_out(create: "asyncio.Future[Machine]", creation: Creation, *, in_doubt: bool) -> None:
    """Write down what a create that nobody waits for any more has led to; `in_doubt` are those before it."""
    try:
        creation.machine = await create
    except asyncio.CancelledError:
        return
    except FlyError as error:
        creation.may_have_happened = in_doubt or error.may_have_happened
    else:
        creation.may_have_happened = False


def _tag(machine: Machine, key: str) -> str | None:
    config = machine.config or machine.incomplete_config
    return ((config and config.metadata) or {}).get(key)


def _is_in_doubt(error: Exception) -> bool:
    # A look that was rate limited has been tried for as long as any call may take.
    return isinstance(error, FlyError) and error.may_have_happened and not isinstance(error, RateLimited)
