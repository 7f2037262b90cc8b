"""Machines: one method for each operation, and what it takes to use them safely."""

from collections.abc import Iterable, Mapping
from typing import Any

from flyasync.api.call import Caller, QueryValue, given, request
from flyasync.api.once import Creation, Once
from flyasync.api.waits import Waits
from flyasync.errors import InvalidInput, StaleVersion, WrongState
from flyasync.models.action import MachineVersion, StartResult, WaitResult
from flyasync.models.config import MachineConfig
from flyasync.models.convert import unstructure
from flyasync.models.lint import check_config, refuse
from flyasync.models.machine import Machine, MachineEvent
from flyasync.models.scalars import go_duration
from flyasync.wire.request import Flight, Repeat, Request
from flyasync.wire.retries import RetryPolicy


class Machines:
    """`fly.machines`: create, watch, change and destroy machines (docs: machines/api/machines-resource).

    A machine's id lasts for its life; its `instance_id` names the present version of its config. Methods that take a
    `nonce` are guarded by the machine's lease: see `fly.leases`. They raise LeaseHeld while somebody else holds it.
    """

    def __init__(self, caller: Caller, policy: RetryPolicy) -> None:
        self._caller = caller
        self._waits = Waits(self.get, self.list, self._poll)
        self.once = Once(self.create, self.get, self.list, policy)

    async def list(
        self,
        app: str,
        *,
        region: str | None = None,
        state: str | Iterable[str] | None = None,
        metadata: Mapping[str, str] | None = None,
        include_deleted: bool | None = None,
        include_leases: bool | None = None,
        summary: bool | None = None,
    ) -> tuple[Machine, ...]:
        """List an app's machines.

        `state` is one state or several, `metadata` keys with the values they must have. `include_deleted` adds the
        destroyed ones, `include_leases` fills `Machine.lease`, `summary` leaves out config, events and checks. The list
        can lag behind by seconds: a machine that was just created may be missing.
        """
        query: dict[str, str | bool | None] = {
            "region": region,
            "state": state if state is None or isinstance(state, str) else ",".join(state),
            "include_deleted": include_deleted,
            "include_leases": include_leases,
            "summary": summary,
            **{f"metadata.{key}": value for key, value in (metadata or {}).items()},
        }
        ask = request("machines.list", app, to="GET apps/{}/machines", repeat=Repeat.ANYTIME, query=query)
        return await self._caller.read(ask, tuple[Machine, ...])

    async def create(
        self,
        app: str,
        config: MachineConfig,
        *,
        name: str | None = None,
        region: str | Iterable[str] | None = None,
        skip_launch: bool | None = None,
        skip_service_registration: bool | None = None,
        lease_ttl: int | None = None,
        skip_secrets: bool | None = None,
        min_secrets_version: int | None = None,
        flight: Flight | None = None,
    ) -> Machine:
        """Create a machine; unless `skip_launch`, it boots by itself.

        `region` is a code, or several codes and aliases in order of preference; left out, it is one near the caller.
        `name` must be unique in the app. `skip_service_registration` creates it cordoned. With `lease_ttl`, in seconds,
        the answer holds the `nonce` of a lease on it. The rate is per app: one create a second, three at once.

        Raises InvalidInput for a config that the API would refuse, NoCapacity when there is no room, NameTaken for a
        name in use. Never repeated when the answer is lost, since every create that arrives makes a machine: use
        `create_once` for that. Cancelled, it may have been created, unless `flight` says that the request never left.
        """
        refuse(check_config(config))
        body = given(
            name=name,
            region=region if region is None or isinstance(region, str) else ",".join(region),
            skip_launch=skip_launch,
            skip_service_registration=skip_service_registration,
            lease_ttl=lease_ttl,
            skip_secrets=skip_secrets,
            min_secrets_version=min_secrets_version,
        )
        ask = request(
            "machines.create",
            app,
            to="POST apps/{}/machines",
            repeat=Repeat.UNSENT,
            body={"config": unstructure(config), **body},
            flight=flight,
        )
        return await self._caller.read(ask, Machine)

    async def create_once(self, app: str, config: MachineConfig, *, name: str, launch: str, **options: Any) -> Machine:
        """Create the machine `name` exactly once, however many answers are lost.

        `launch` names the occasion. It goes into the machine's metadata, and together with `name` it is the machine's
        identity: whoever asks for the same two again gets the same machine, now or a year later. After a lost or
        doubtful answer, and when the API says that the name is in use, the machine is looked up by name and launch and
        adopted; the unique name keeps a second try from making a second machine, even while lists lack the first.
        `options` are those of `create`.

        Raises what `create` raises; NameTaken only when the name belongs to a machine of another launch. An error that
        `may_have_happened` comes out only when the API left it in doubt for all retries. Cancelled before its request
        left, nothing happened; cancelled later, it waits for the answer first, as long as one exchange may take, and
        the machine may have been created: asking again finds it. `once.create` with a `Creation` tells which.
        """
        return await self.once.create(Creation(app=app, config=config, name=name, launch=launch, options=options))

    async def get(self, app: str, machine_id: str) -> Machine:
        """Get one machine; 5 a second, 10 at once. A destroyed one is still found for a while."""
        ask = request("machines.get", app, machine_id, to="GET apps/{}/machines/{}", repeat=Repeat.ANYTIME)
        return await self._caller.read(ask, Machine)

    async def update(
        self,
        app: str,
        machine_id: str,
        config: MachineConfig,
        *,
        current_version: str | None = None,
        nonce: str | None = None,
        skip_launch: bool | None = None,
        skip_service_registration: bool | None = None,
        skip_secrets: bool | None = None,
        min_secrets_version: int | None = None,
    ) -> Machine:
        """Replace the machine's whole config: what is missing in `config` is gone.

        A started machine restarts with the new version; a stopped one stays stopped. Start from a fresh `get`, and pass
        its `instance_id` as `current_version`, so that a change by somebody else in between raises StaleVersion.
        Region, name and mounts cannot change. Raises NoCapacity when the host is full; the old version then runs on.
        Not repeated when the answer is lost. Cancelled, it may have been done.
        """
        refuse(check_config(config))
        body = given(
            current_version=current_version,
            skip_launch=skip_launch,
            skip_service_registration=skip_service_registration,
            skip_secrets=skip_secrets,
            min_secrets_version=min_secrets_version,
        )
        ask = request(
            "machines.update",
            app,
            machine_id,
            to="POST apps/{}/machines/{}",
            repeat=Repeat.UNSENT,
            body={"config": unstructure(config), **body},
            nonce=nonce,
        )
        return await self._caller.read(ask, Machine)

    async def delete(self, app: str, machine_id: str, *, force: bool | None = None, nonce: str | None = None) -> None:
        """Destroy a machine; `force` kills it first if it runs.

        Raises WrongState for a running machine without `force`. Repeated after a lost answer, so NotFound may mean that
        it has just been destroyed. It can be read for a while longer, in state `destroyed`.
        """
        await self._caller.ask(
            request(
                "machines.delete",
                app,
                machine_id,
                to="DELETE apps/{}/machines/{}",
                repeat=Repeat.ANYTIME,
                query={"force": force},
                nonce=nonce,
            )
        )

    async def start(self, app: str, machine_id: str, *, nonce: str | None = None) -> StartResult:
        """Start a stopped or suspended machine; `wait` for `started` after it.

        Raises AlreadyStarting when there is nothing to do, WrongState while the machine is being created, replaced or
        stopped, and for some seconds after it has stopped. Safe to repeat, and repeated after a lost answer.
        """
        ask = _action("start", app, machine_id, nonce=nonce)
        answer = await self._caller.read(ask, StartResult)
        if answer.status == "error":
            raise WrongState("machines.start", f"{app}/{machine_id}", answer.message or "not started", status=200)
        return answer

    async def stop(
        self,
        app: str,
        machine_id: str,
        *,
        signal: str | None = None,
        timeout: float | None = None,
        nonce: str | None = None,
    ) -> None:
        """Stop a machine: `signal` first (default SIGINT), and SIGKILL after `timeout` seconds (default 5).

        Stopping a stopped machine does nothing, so it is repeated after a lost answer. Stopping a suspended one throws
        its snapshot away.
        """
        body = given(signal=signal, timeout=None if timeout is None else go_duration(timeout))
        await self._caller.ask(_action("stop", app, machine_id, nonce=nonce, body=body or None))

    async def restart(
        self,
        app: str,
        machine_id: str,
        *,
        signal: str | None = None,
        timeout: float | None = None,
        force_stop: bool | None = None,
        nonce: str | None = None,
    ) -> None:
        """Stop and start a machine in one request, as `stop` does; its version stays.

        Not repeated when the answer is lost, since each one restarts it. Cancelled, it may have been restarted.
        """
        query = {
            "force_stop": force_stop,
            "timeout": None if timeout is None else go_duration(timeout),
            "signal": signal,
        }
        await self._caller.ask(_action("restart", app, machine_id, nonce=nonce, query=query, repeat=Repeat.UNSENT))

    async def suspend(self, app: str, machine_id: str, *, nonce: str | None = None) -> None:
        """Snapshot a started machine's memory and stop it; a start resumes it where it was, as a rule.

        Needs at most 2 GB of memory, no swap and no schedule (docs: reference/suspend-resume).
        """
        await self._caller.ask(_action("suspend", app, machine_id, nonce=nonce))

    async def signal(self, app: str, machine_id: str, signal: str) -> None:
        """Send a signal such as `SIGTERM` to the main process. Not repeated when the answer is lost."""
        await self._caller.ask(_action("signal", app, machine_id, body={"signal": signal}, repeat=Repeat.UNSENT))

    async def cordon(self, app: str, machine_id: str, *, nonce: str | None = None) -> None:
        """Take a machine out of the Fly Proxy's routing; private DNS still names it. Safe to repeat."""
        await self._caller.ask(_action("cordon", app, machine_id, nonce=nonce))

    async def uncordon(self, app: str, machine_id: str, *, nonce: str | None = None) -> None:
        """Put a machine back into the Fly Proxy's routing. Safe to repeat."""
        await self._caller.ask(_action("uncordon", app, machine_id, nonce=nonce))

    async def wait(
        self,
        app: str,
        machine_id: str,
        *,
        state: str = "started",
        version: str | None = None,
        timeout: float = 300.0,
        just_created: bool = False,
    ) -> str:
        """Wait until the machine is in `state`, for up to `timeout` seconds; give the state reached.

        `settled` stands for any state that it does not leave by itself. With `version`, the wait is for that version of
        the machine and no other. A machine that was `just_created` may be unknown for up to 30 s without an error.

        The API cuts a wait at 60 s, so this asks again and again. Up to 32 machines of one app are waited on with a
        long poll each; beyond that, one list a second serves all, since it tells the same about any number of machines
        without holding a connection for each.

        Raises WaitFailed when the time is up, and as soon as the machine can no longer get there: it has failed, is
        destroyed, was replaced by another version, or its process has ended. A machine that is not there counts as
        destroyed, if that is waited for, and raises NotFound otherwise. Changes nothing, cancelled or not.
        """
        if timeout <= 0:
            raise InvalidInput(f"timeout is {timeout!r}, but must be a number of seconds above 0")
        return await self._waits.until(
            app, machine_id, state, version=version, timeout=timeout, just_created=just_created
        )

    async def wait_healthy(
        self, app: str, machine_id: str, *, timeout: float = 300.0, just_created: bool = False
    ) -> Machine:
        """Wait until the machine runs and every check of its config has reported and passes; give the machine.

        The API has no wait for checks, so the machine is looked at once a second: by itself, or, with more than 32
        waited on in one app, by one list for all. Raises as `wait` does.
        """
        if timeout <= 0:
            raise InvalidInput(f"timeout is {timeout!r}, but must be a number of seconds above 0")
        return await self._waits.until_healthy(app, machine_id, timeout=timeout, just_created=just_created)

    async def wait_once(
        self,
        app: str,
        machine_id: str,
        *,
        state: str = "started",
        version: str | None = None,
        from_event_id: str | None = None,
        timeout: float = 60.0,
    ) -> WaitResult:
        """Wait by one request, as the API offers it: for 1 to 60 seconds.

        Raises TimedOut when the time is up. `wait` is the one to use, unless you need `from_event_id`: then only what
        happened after that event counts, and the answer names the next one to pass.
        """
        if not 1 <= timeout <= 60:  # noqa: PLR2004 - the API's own bounds
            raise InvalidInput(f"timeout is {timeout!r}, but the API holds a wait for 1 to 60 seconds: use wait()")
        query = {
            "state": state,
            "version": version,
            "from_event_id": from_event_id,
            "timeout": int(timeout),
        }
        ask = request(
            "machines.wait",
            app,
            machine_id,
            to="GET apps/{}/machines/{}/wait",
            repeat=Repeat.UNSENT,  # whoever waits asks again anyway, with what is left of the time
            query=query,
            poll=timeout,
        )
        return await self._caller.read(ask, WaitResult)

    async def events(self, app: str, machine_id: str, *, limit: int | None = None) -> tuple[MachineEvent, ...]:
        """List what happened to the machine, newest first: the last 20, or up to `limit`, which is at most 50."""
        ask = request(
            "machines.events",
            app,
            machine_id,
            to="GET apps/{}/machines/{}/events",
            repeat=Repeat.ANYTIME,
            query={"limit": limit},
        )
        return await self._caller.read(ask, tuple[MachineEvent, ...])

    async def versions(self, app: str, machine_id: str) -> tuple[MachineVersion, ...]:
        """List the configs that the machine has had."""
        ask = request(
            "machines.versions", app, machine_id, to="GET apps/{}/machines/{}/versions", repeat=Repeat.ANYTIME
        )
        return await self._caller.read(ask, tuple[MachineVersion, ...])

    async def metadata(self, app: str, machine_id: str) -> dict[str, str]:
        """Give the machine's metadata."""
        ask = request(
            "machines.metadata", app, machine_id, to="GET apps/{}/machines/{}/metadata", repeat=Repeat.ANYTIME
        )
        return await self._caller.read(ask, dict[str, str])

    async def set_metadata(self, app: str, machine_id: str, key: str, value: str) -> None:
        """Set one key: at once, without a restart, a new version or a lease.

        An `update` that somebody prepared before and sends after this will undo it.
        """
        await self._caller.ask(
            request(
                "machines.set_metadata",
                app,
                machine_id,
                part=key,
                to="POST apps/{}/machines/{}/metadata/{}",
                repeat=Repeat.ANYTIME,
                body={"value": value},
            )
        )

    async def delete_metadata(self, app: str, machine_id: str, key: str) -> None:
        """Remove one key, as `set_metadata` sets one."""
        await self._caller.ask(
            request(
                "machines.delete_metadata",
                app,
                machine_id,
                part=key,
                to="DELETE apps/{}/machines/{}/metadata/{}",
                repeat=Repeat.ANYTIME,
            )
        )

    async def patch_metadata(
        self,
        app: str,
        machine_id: str,
        metadata: Mapping[str, str | None],
        *,
        machine_version: str | None = None,
    ) -> None:
        """Set several keys at once and remove those given as None; all others stay.

        With `machine_version`, StaleVersion is raised unless that is the machine's present version.
        """
        ask = request(
            "machines.patch_metadata",
            app,
            machine_id,
            to="PATCH apps/{}/machines/{}/metadata",
            repeat=Repeat.ANYTIME,
            body={"metadata": dict(metadata), **given(machine_version=machine_version)},
        )
        try:
            await self._caller.ask(ask)
        except WrongState as refused:
            # Of this operation's 412 the documents promise the meaning, but no wording.
            raise StaleVersion(
                *refused.args, status=refused.status, code=refused.code, request_id=refused.request_id
            ) from refused

    async def _poll(self, app: str, machine_id: str, state: str, version: str | None, timeout: float) -> WaitResult:
        return await self.wait_once(app, machine_id, state=state, version=version, timeout=timeout)


def _action(
    verb: str,
    app: str,
    machine_id: str,
    *,
    nonce: str | None = None,
    query: Mapping[str, QueryValue] | None = None,
    body: Any = None,
    repeat: Repeat = Repeat.ANYTIME,
) -> Request:
    """Describe an action on a machine, such as `POST …/machines/{}/start`."""
    return request(
        f"machines.{verb}",
        app,
        machine_id,
        to=f"POST apps/{{}}/machines/{{}}/{verb}",
        repeat=repeat,
        query=query,
        body=body,
        nonce=nonce,
    )
