"""`fly.machines`: one method for each operation of the API, and the few that take several requests."""

import math
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from functools import partial
from typing import Any, Final, Unpack

from attrs import fields_dict

from flyasync.api.machines.create_once import CreateOnce, CreateOptions, Creation
from flyasync.api.machines.edit import Change, Editor, UpdateOptions, clone_config, flyctl_metadata
from flyasync.api.machines.ensure import Ensured, EnsureRunning
from flyasync.api.machines.leases import Leases
from flyasync.api.machines.named_volumes import NamedVolumes
from flyasync.api.machines.poller import survey
from flyasync.api.machines.shared_lists import SharedLists
from flyasync.api.machines.starting import Starter
from flyasync.api.machines.volume_claims import outlast_claim
from flyasync.api.machines.wait import Waits, most_pollers, most_readers
from flyasync.api.pagination import OnErrorRegions, Pages, pages
from flyasync.api.resource import Caller, QueryValue, given, request
from flyasync.errors import InvalidInput, StaleVersion, VolumeInUse, WrongState
from flyasync.models.config import MachineConfig
from flyasync.models.json.codec import unstructure
from flyasync.models.lint.linter import check_config, refuse
from flyasync.models.machine import GONE, Machine, MachineEvent, OrgMachine, OrgMachinePage
from flyasync.models.machine_results import (
    ExecResult,
    MachineVersion,
    Memory,
    MetadataValue,
    ProcessStat,
    ReclaimedMemory,
    StartResult,
    WaitResult,
)
from flyasync.models.types import go_duration
from flyasync.models.volume import Volume
from flyasync.safe_text import hidden
from flyasync.transport.request import Flight, Repeat, Request
from flyasync.transport.retries import RetryPolicy

EXEC_SECONDS: Final = 60.0
"""The maximum time of an exec, in seconds, if no timeout is passed."""


class Machines:
    """`fly.machines`: create, watch, change and destroy machines (docs: machines/api/machines-resource).

    A machine's id lasts for its life; its `instance_id` names the current version of its config. Methods that take a
    `nonce` are guarded by the machine's lease: see `fly.leases`. They raise LeaseHeld while another client holds it.
    """

    def __init__(
        self,
        caller: Caller,
        policy: RetryPolicy,
        *,
        list_volumes: Callable[[str], Awaitable[tuple[Volume, ...]]],
        calls: int,
        polls: int,
    ) -> None:
        self._caller = caller
        self._waits = Waits(
            self.get,
            partial(survey, caller),
            self.wait_once,
            pollers=most_pollers(polls),
            readers=most_readers(calls),
        )
        self._editor = Editor(self.get, self._update, Leases(caller))
        expected_wait = partial(caller.expected_wait, "machines.create")
        volumes = NamedVolumes(list_volumes)
        self.once: CreateOnce = CreateOnce(self.create, self.get, self.list, policy, expected_wait, volumes=volumes)
        self.starter: Starter = Starter(self.start, self.wait, self.wait_healthy)
        self._found = SharedLists(self.list)
        self._ensured = EnsureRunning(
            self.once, self.get, self.start, self.wait, self.wait_healthy, SharedLists(self.list, summary=True)
        )

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
        """List an app's machines. The list can lag by seconds: a machine that was just created may be missing.

        Args:
            app: the app.
            region: only machines in this region.
            state: only machines in this state, or in one of these.
            metadata: only machines whose metadata has these keys and values.
            include_deleted: also return destroyed machines.
            include_leases: set `Machine.lease`.
            summary: omit config, events and checks.
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
        """Create a machine, which boots unless `skip_launch` is set.

        The rate is per app: one create per second, bursts of three.

        Args:
            app: the app.
            config: the machine's config; a mount needs the id of its volume.
            name: unique in the app; by default the API chooses one.
            region: a code, or several codes and aliases in order of preference; by default a region near the caller.
            skip_launch: do not start the machine.
            skip_service_registration: create the machine cordoned.
            lease_ttl: seconds of a lease on the machine, whose `nonce` is in the result.
            skip_secrets: passed to the API, which does not document it.
            min_secrets_version: the lowest version of the app's secrets with which the machine may start.
            flight: shows whether the request is in flight.

        Raises InvalidInput for a config that the API would refuse, NoCapacity if there is no capacity, NameTaken for a
        name in use, VolumeInUse for a volume that a machine holds. If the image was just pushed, or the machine of the
        volume no longer exists, the create is retried first (ImageNotFound, ClaimLingers). Never repeated after a lost
        response, since each create that arrives creates a machine: use `create_once` for that. If cancelled, the
        machine may have been created, unless `flight` shows that the request was never sent.
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
        try:
            return await self._caller.read(ask, Machine)
        except VolumeInUse as refusal:
            ask = await outlast_claim(ask, refusal, partial(self.get, app))
        return await self._caller.read(ask, Machine)

    async def get(self, app: str, machine_id: str, *, include_leases: bool | None = None) -> Machine:
        """Get one machine; the rate is 5 a second, bursts of 10. A destroyed one is still found for a while.

        `include_leases` fills `Machine.lease`.
        """
        ask = request(
            "machines.get",
            app,
            machine_id,
            to="GET apps/{}/machines/{}",
            repeat=Repeat.ANYTIME,
            query={"include_leases": include_leases},
        )
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
        lease_ttl: int | None = None,
        skip_secrets: bool | None = None,
        min_secrets_version: int | None = None,
    ) -> Machine:
        """Replace the machine's whole config: what `config` lacks is removed.

        A started machine restarts with the new version; a stopped one stays stopped. Region, name and mounts cannot
        change. Raises NoCapacity if the host is full; the old version then keeps running. Not repeated after a lost
        response. If cancelled, the update may have happened.

        Args:
            app: the app.
            machine_id: the machine's id.
            config: the whole config; start from that of a fresh `get`.
            current_version: the `instance_id` of that `get`. If another client has changed the machine since then, the
                update raises StaleVersion.
            nonce: the nonce of your lease on the machine.
            skip_launch: do not start the machine.
            skip_service_registration: leave the machine cordoned.
            lease_ttl: seconds of a lease on the machine, whose `nonce` is in the result.
            skip_secrets: passed to the API, which does not document it.
            min_secrets_version: the lowest version of the app's secrets with which the machine may start.
        """
        refuse(check_config(config))
        return await self._update(
            app,
            machine_id,
            config,
            nonce=nonce,
            current_version=current_version,
            skip_launch=skip_launch,
            skip_service_registration=skip_service_registration,
            lease_ttl=lease_ttl,
            skip_secrets=skip_secrets,
            min_secrets_version=min_secrets_version,
        )

    async def _update(
        self, app: str, machine_id: str, config: MachineConfig, **options: Unpack[UpdateOptions]
    ) -> Machine:
        """Send an update without the checks, for a config that has passed them."""
        body = {name: value for name, value in options.items() if name != "nonce"}
        ask = request(
            "machines.update",
            app,
            machine_id,
            to="POST apps/{}/machines/{}",
            repeat=Repeat.UNSENT,
            body={"config": unstructure(config), **given(**body)},
            nonce=options.get("nonce"),
        )
        return await self._caller.read(ask, Machine)

    async def delete(self, app: str, machine_id: str, *, force: bool | None = None, nonce: str | None = None) -> None:
        """Destroy a machine; `force` kills it first if it runs.

        Raises WrongState for a running machine without `force`. Repeated after a lost response. The machine can be read
        for a while longer, in state `destroyed`.
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

    def list_org(
        self,
        org_slug: str,
        *,
        region: str | None = None,
        state: str | Iterable[str] | None = None,
        updated_after: str | None = None,
        include_deleted: bool | None = None,
        summary: bool | None = None,
        limit: int | None = None,
        on_error_regions: OnErrorRegions | None = None,
    ) -> Pages[OrgMachine]:
        """List the machines of a whole organization with `async for`, fetched page by page as they are read.

        The machines are usually sorted by `updated_at`, oldest first, and the list lags. A machine that changes while
        the list is read may be listed again, in its new state: the later row counts. To watch for changes, pass the
        `last_updated_at` of the previous list, less some overlap, as `updated_after`. Each page is one request, and may
        be repeated.

        A region that the API could not read is never skipped silently: after the last row, IncompleteList names it; or
        `on_error_regions` is called, as soon as a page names such regions. While there are `error_regions`, a machine
        that is not listed is not necessarily destroyed.

        Args:
            org_slug: the organization; the token must have access to it.
            region: only those in this region.
            state: only those in this state, or in one of these states.
            updated_after: only those updated after this time (RFC 3339).
            include_deleted: include those that no longer exist.
            summary: omit the details, such as the config.
            limit: the size of a page, at most 1000.
            on_error_regions: called with regions that the API could not read, instead of IncompleteList at the end.
        """
        query: dict[str, QueryValue] = {
            "region": region,
            "state": state if state is None or isinstance(state, str) else ",".join(state),
            "updated_after": updated_after,
            "include_deleted": include_deleted,
            "summary": summary,
            "limit": limit,
        }
        return pages(
            self._caller,
            OrgMachinePage,
            "machines.list_org",
            org_slug,
            to="GET orgs/{}/machines",
            query=query,
            on_error_regions=on_error_regions,
        )

    # Actions

    async def start(self, app: str, machine_id: str, *, nonce: str | None = None) -> StartResult:
        """Start a stopped or suspended machine; `wait` for `started` after it.

        Raises AlreadyStarting if there is nothing to do. While the machine is being created, replaced or stopped, and
        for some seconds after that, the API refuses: the start is repeated for up to 30 s, then NotSettled is raised.
        Safe to repeat, and repeated after a lost response.
        """
        ask = _action("start", app, machine_id, nonce=nonce)
        response = await self._caller.read(ask, StartResult)
        # The API responds to some failed starts with 200 and an error inside.
        if response.status == "error":
            raise WrongState("machines.start", f"{app}/{machine_id}", response.message or "not started", status=200)
        return response

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

        Stopping a stopped machine does nothing, so it is repeated after a lost response. Stopping a suspended one
        discards its snapshot.
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
        """Stop and start a machine in one request; its version stays.

        Not repeated after a lost response, since each request restarts it. If cancelled, it may have been restarted.

        Args:
            app: the app.
            machine_id: the machine's id.
            signal: the signal that is sent first, as in `stop`.
            timeout: seconds until SIGKILL, as in `stop`.
            force_stop: passed to the API, which does not document it.
            nonce: the nonce of your lease on the machine.
        """
        query = {
            "force_stop": force_stop,
            "timeout": None if timeout is None else go_duration(timeout),
            "signal": signal,
        }
        await self._caller.ask(_action("restart", app, machine_id, nonce=nonce, query=query, repeat=Repeat.UNSENT))

    async def suspend(self, app: str, machine_id: str, *, nonce: str | None = None) -> None:
        """Snapshot a started machine's memory and stop it; a start usually resumes it where it was.

        Needs at most 2 GB of memory, no swap and no schedule (docs: reference/suspend-resume). Not repeated after a
        lost response, since a suspended machine refuses: `wait` for `suspended` to find out.
        """
        await self._caller.ask(_action("suspend", app, machine_id, nonce=nonce, repeat=Repeat.UNSENT))

    async def signal(self, app: str, machine_id: str, signal: str) -> None:
        """Send a signal such as `SIGTERM` to the main process. Not repeated after a lost response."""
        await self._caller.ask(_action("signal", app, machine_id, body={"signal": signal}, repeat=Repeat.UNSENT))

    async def cordon(self, app: str, machine_id: str, *, nonce: str | None = None) -> None:
        """Take a machine out of the Fly Proxy's routing; private DNS still names it. Safe to repeat."""
        await self._caller.ask(_action("cordon", app, machine_id, nonce=nonce))

    async def uncordon(self, app: str, machine_id: str, *, nonce: str | None = None) -> None:
        """Put a machine back into the Fly Proxy's routing. Safe to repeat."""
        await self._caller.ask(_action("uncordon", app, machine_id, nonce=nonce))

    # Waits and events

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
        """Wait until the machine is in `state`, for up to `timeout` seconds; return the state reached.

        The API cuts a wait at 60 s, so this polls repeatedly. Up to 32 machines of one app, and 800 in all (four fifths
        of `Timeouts.polls`), have a long poll each. Beyond that, one list a second serves all waits of an app, without
        a connection for each, and a change is usually noticed half a second later.

        If the API refuses a poll (400, 409, 412, 422), the machine is read and the wait continues; but if no machine
        can have that state or that version, the refusal is raised.

        Raises WaitFailed when the time is up, and as soon as the machine can no longer reach the state: it has failed,
        is destroyed, was replaced by another version, or its process has ended. A machine that does not exist counts as
        destroyed if that state is awaited, and raises NotFound otherwise. Changes nothing, cancelled or not.

        Args:
            app: the app.
            machine_id: the machine's id.
            state: the desired state; `settled` stands for any state that the machine does not leave by itself.
            version: wait for this version of the machine and no other.
            timeout: the maximum number of seconds.
            just_created: the machine was just created, so the API may not know it for up to 30 s.
        """
        if timeout <= 0:
            raise InvalidInput(f"timeout is {timeout!r}, but must be a number of seconds above 0")
        wait = await self._waits.until(
            app, machine_id, state, version=version, timeout=timeout, just_created=just_created
        )
        return wait.state

    async def wait_healthy(
        self,
        app: str,
        machine_id: str,
        *,
        version: str | None = None,
        checks: int = 0,
        timeout: float = 300.0,
        just_created: bool = False,
    ) -> Machine:
        """Wait until the machine runs and every check of its config has reported and passes; return the machine.

        A check that does not pass yet is not a failure, whatever its `grace_period`: only `timeout` ends the wait.

        The API has no wait for checks, so the machine is read once a second: by a request of its own, or, with more
        than 32 waits in one app, by one list for all. Raises what `wait` raises.

        Args:
            app: the app.
            machine_id: the machine's id.
            version: wait for this version of the machine and no other.
            checks: the number of checks that have to report at least. Pass the number that was configured, since the
                API may not have kept all of them.
            timeout: the maximum number of seconds.
            just_created: the machine was just created, so the API may not know it for up to 30 s.
        """
        if timeout <= 0:
            raise InvalidInput(f"timeout is {timeout!r}, but must be a number of seconds above 0")
        wait = await self._waits.until(
            app,
            machine_id,
            "healthy",
            version=version,
            timeout=timeout,
            just_created=just_created,
            checks=checks,
        )
        assert wait.machine is not None  # noqa: S101 - only a wait for destroyed ends without a machine
        return wait.machine

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

        Raises TimedOut when the time is up. Use `wait` unless you need `from_event_id`.

        Args:
            app: the app.
            machine_id: the machine's id.
            state: the desired state.
            version: wait for this version of the machine and no other.
            from_event_id: only what happened after this event counts. The response contains the id to pass next.
            timeout: the maximum number of seconds, from 1 to 60.
        """
        if not 1 <= timeout <= 60:  # noqa: PLR2004 - the API's own bounds
            raise InvalidInput(f"timeout is {timeout!r}, but must be from 1 to 60 seconds: use wait() for longer waits")
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
            repeat=Repeat.UNSENT,  # a wait sends the next poll anyway, for the remaining time
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

    # Metadata: changed at once, without a restart, a new version or a lease

    async def metadata(self, app: str, machine_id: str) -> dict[str, str]:
        """Return the machine's metadata."""
        ask = request(
            "machines.metadata", app, machine_id, to="GET apps/{}/machines/{}/metadata", repeat=Repeat.ANYTIME
        )
        return await self._caller.read(ask, dict[str, str])

    async def get_metadata(self, app: str, machine_id: str, key: str) -> str:
        """Return the value of one key, which may be empty. Raises NotFound for a key that does not exist."""
        ask = request(
            "machines.get_metadata",
            app,
            machine_id,
            parts=(key,),
            to="GET apps/{}/machines/{}/metadata/{}",
            repeat=Repeat.ANYTIME,
        )
        return (await self._caller.read(ask, MetadataValue)).value or ""

    async def set_metadata(
        self, app: str, machine_id: str, key: str, value: str, *, updated_at: str | None = None
    ) -> None:
        """Set one key: at once, without a restart, a new version or a lease.

        If another client read the config before this call and sends an `update` after it, that update undoes the
        change. `updated_at` (RFC 3339) is the time at which the value was decided, for the case of concurrent writers.
        Repeated after a lost response.
        """
        ask = request(
            "machines.set_metadata",
            app,
            machine_id,
            parts=(key,),
            to="POST apps/{}/machines/{}/metadata/{}",
            repeat=Repeat.ANYTIME,
            body={"value": value, **given(updated_at=updated_at)},
        )
        await self._caller.ask(ask)

    async def delete_metadata(self, app: str, machine_id: str, key: str) -> None:
        """Remove one key, in the same way as `set_metadata` sets one. Repeated after a lost response."""
        ask = request(
            "machines.delete_metadata",
            app,
            machine_id,
            parts=(key,),
            to="DELETE apps/{}/machines/{}/metadata/{}",
            repeat=Repeat.ANYTIME,
        )
        await self._caller.ask(ask)

    async def patch_metadata(
        self,
        app: str,
        machine_id: str,
        metadata: Mapping[str, str | None],
        *,
        machine_version: str | None = None,
        updated_at: str | None = None,
    ) -> None:
        """Set several keys at once and remove those given as None; all others stay.

        With `machine_version`, raises StaleVersion unless that is the machine's current version. `updated_at` is as in
        `set_metadata`. Repeated after a lost response.
        """
        body = {"metadata": dict(metadata), **given(machine_version=machine_version, updated_at=updated_at)}
        await self._write_metadata("PATCH", app, machine_id, body)

    async def put_metadata(
        self,
        app: str,
        machine_id: str,
        metadata: Mapping[str, str | None],
        *,
        machine_version: str | None = None,
        updated_at: str | None = None,
    ) -> None:
        """Write metadata by PUT, which the API documents in the same words as PATCH: see `patch_metadata`.

        According to the documentation, keys that are not named stay. If that matters, read the metadata afterwards; to
        remove a key, name it with None.
        """
        body = {"metadata": dict(metadata), **given(machine_version=machine_version, updated_at=updated_at)}
        await self._write_metadata("PUT", app, machine_id, body)

    async def _write_metadata(self, method: str, app: str, machine_id: str, body: dict[str, Any]) -> None:
        ask = request(
            f"machines.{method.lower()}_metadata",
            app,
            machine_id,
            to=f"{method} apps/{{}}/machines/{{}}/metadata",
            repeat=Repeat.ANYTIME,
            body=body,
        )
        try:
            await self._caller.ask(ask)
        except WrongState as refused:
            # The documentation states the meaning of this operation's 412, but not its text, so it is recognized here.
            stale = StaleVersion(*refused.args, status=refused.status, code=refused.code, request_id=refused.request_id)
            stale.may_have_happened = refused.may_have_happened
            raise stale from refused

    # Inside a running machine; any other raises WrongState

    async def exec(
        self,
        app: str,
        machine_id: str,
        command: Sequence[str] | str,
        *,
        timeout: float | None = None,
        stdin: str | None = None,
        container: str | None = None,
        machine: bool | None = None,
    ) -> ExecResult:
        """Run a command in a running machine and return its output and exit code; a failing command is not an error.

        Not repeated after a lost response. If the call is cancelled or the client is closed, the command may have run,
        and may keep running.

        Args:
            app: the app.
            machine_id: the machine's id.
            command: a list of words, or a text that the API splits; neither goes through a shell.
            timeout: the maximum number of seconds, rounded up; by default a minute.
            stdin: the input of the command; the API does not always deliver it.
            container: the container in which to run the command, for machines that have several.
            machine: run the command outside all containers.
        """
        # A traceback with locals must not show what the caller passes to the command.
        command, stdin = hidden(command), hidden(stdin)
        if not command:
            raise InvalidInput("the command is empty: pass a command such as ['ls', '-l']")
        words = {"cmd": command} if isinstance(command, str) else {"command": list(command)}
        seconds = None if timeout is None else math.ceil(timeout)
        ask = request(
            "machines.exec",
            app,
            machine_id,
            to="POST apps/{}/machines/{}/exec",
            repeat=Repeat.UNSENT,
            body={**words, **given(timeout=seconds, stdin=stdin, container=container, machine=machine)},
            poll=seconds or EXEC_SECONDS,
        )
        return await self._caller.read(ask, ExecResult)

    async def ps(
        self, app: str, machine_id: str, *, sort_by: str | None = None, order: str | None = None
    ) -> tuple[ProcessStat, ...]:
        """List the processes of a running machine, by `sort_by` (such as `cpu` or `rss`) in `order` `asc` or `desc`."""
        ask = request(
            "machines.ps",
            app,
            machine_id,
            to="GET apps/{}/machines/{}/ps",
            repeat=Repeat.ANYTIME,
            query={"sort_by": sort_by, "order": order},
        )
        return await self._caller.read(ask, tuple[ProcessStat, ...])

    async def memory(self, app: str, machine_id: str) -> Memory:
        """Return a running machine's memory limit, and how much of it is free, in megabytes."""
        ask = request("machines.memory", app, machine_id, to="GET apps/{}/machines/{}/memory", repeat=Repeat.ANYTIME)
        return await self._caller.read(ask, Memory)

    async def set_memory(self, app: str, machine_id: str, *, limit_mb: int) -> Memory:
        """Change a running machine's memory limit, without a restart, up to its guest's `max_memory_mb`.

        Repeated after a lost response. Raises BadRequest for more than the machine's maximum.
        """
        ask = request(
            "machines.set_memory",
            app,
            machine_id,
            to="PUT apps/{}/machines/{}/memory",
            repeat=Repeat.ANYTIME,
            body={"limit_mb": limit_mb},
        )
        return await self._caller.read(ask, Memory)

    async def reclaim_memory(self, app: str, machine_id: str, *, amount_mb: int | None = None) -> int:
        """Reclaim up to `amount_mb` megabytes that a running machine does not use; return how many were reclaimed.

        Not repeated after a lost response.
        """
        ask = request(
            "machines.reclaim_memory",
            app,
            machine_id,
            to="POST apps/{}/machines/{}/memory/reclaim",
            repeat=Repeat.UNSENT,
            body=given(amount_mb=amount_mb),
        )
        return (await self._caller.read(ask, ReclaimedMemory)).actual_mb or 0

    # Operations of several requests

    async def create_once(
        self, app: str, config: MachineConfig, *, name: str, launch: str, **options: Unpack[CreateOptions]
    ) -> Machine:
        """Create the machine `name` exactly once, however many responses are lost.

        `launch` is a name of your choice, such as that of a release. It is stored in the machine's metadata, and
        together with `name` it identifies the machine: every call with the same two returns the same machine, now or a
        year later. After a lost or ambiguous response, and when the API reports that the name is in use, the machine is
        looked up by name and launch and adopted; the unique name keeps a second try from creating a second machine,
        even while lists lack the first. `options` are those of `create`.

        Raises what `create` raises; NameTaken only if the name belongs to a machine of another launch. An error that
        `may_have_happened` is raised only if the API left it in doubt for all retries. If cancelled before the request
        is sent, nothing happened. If cancelled later, it first waits for the response, for as long as one exchange may
        take; the machine may have been created, and a second call finds it. `once.create` with a `Creation` shows
        which.
        """
        return await self.once.create(Creation(app=app, config=config, name=name, launch=launch, options=options))

    async def find(
        self, app: str, *, name: str | None = None, metadata: Mapping[str, str] | None = None
    ) -> tuple[Machine, ...]:
        """List the machines with that name or metadata; concurrent calls for one app share one list a second.

        The list is at most a second old, and lags as those of `list` do. It does not contain destroyed machines. Calls
        with different metadata share the list of what they have in common, up to all machines of the app. Changes
        nothing; a call that is cancelled does not cancel the list of the others.
        """
        machines = await self._found.find(app, metadata)
        return tuple(each for each in machines if name in {None, each.name} and each.state not in GONE)

    async def ensure_running(
        self,
        app: str,
        name: str,
        config: MachineConfig,
        *,
        timeout: float = 120.0,
        **options: Unpack[CreateOptions],
    ) -> Ensured:
        """Have the machine `name` run: find it, or create it exactly once, start or resume it, wait for its checks.

            ensured = await fly.machines.ensure_running("sandboxes", "user-7", config, region="iad")

        Any number of callers may ask for the same name at once. Those of one client share one task; those of other
        clients get the same machine, since names are unique in an app. All calls for one app share one list a second. A
        machine that is stopping, suspending or being replaced is awaited, then started. A machine that exists keeps its
        config, whichever tool created it: `config` and `options` are for a new one.

        Requests, apart from the list: one for a machine that runs, three for one that is stopped or suspended, three
        for a new one. Each caller's wait is bounded by its `timeout`.

        Raises WaitFailed when the time is up, with the checks that do not pass, which takes up to 2 s more to read, and
        when the machine cannot run: it has failed, or its process ends. Also raises what `create_once` and `start`
        raise. When the last caller is cancelled or its time is up, a create that
        was sent is awaited first; the machine stays as it is, and the next call continues with it.

        Args:
            app: the app.
            name: the machine's name, unique in the app.
            config: the config of a new machine.
            timeout: seconds for all of it, the queue for the limit of creates included.
            options: those of `create`, for a new machine, such as `region`.
        """
        if timeout <= 0:
            raise InvalidInput(f"timeout is {timeout!r}, but must be a number of seconds above 0")
        refuse(check_config(config, volumes_by_name=True))
        return await self._ensured.ensure(app, name, config, timeout=timeout, **options)

    async def modify(
        self,
        app: str,
        machine_id: str,
        change: Change,
        *,
        ttl: int = 30,
        patience: float = 120.0,
        nonce: str | None = None,
        skip_launch: bool | None = None,
        min_secrets_version: int | None = None,
    ) -> Machine:
        """Change a machine's config by a function from the current config to the desired one; return the machine.

            await fly.machines.modify("web", id, lambda config: evolve(config, schedule="daily"))

        The config is read, changed and updated under the machine's lease. Fields that `change` leaves alone stay, and
        so do unknown keys. Nothing is sent if the new config means the same as the current one: nulls, empty values,
        and spellings of autostop and durations do not count. Otherwise this is an `update`: a started machine restarts.

        While another client holds the lease, this retries for up to `patience` seconds, then raises LeaseHeld. If
        another client changed the machine first, or the machine is changing its state, it tries up to six times within
        `patience`, each time from a fresh read and after a longer pause, during which other clients can acquire the
        lease; then it raises StaleVersion or WrongState. WrongState of a machine that is not changing its state is
        raised at once.

        Raises InvalidInput, before anything is sent, if the API would refuse what is new in the config (errors that it
        already has do not prevent a change), and if the API returned only part of the current config. After a lost
        response the machine is read once more, and an error is raised only if it does not show the change. Metadata
        that other clients write between the read and the update is lost: usually a matter of milliseconds, but longer
        if the update waits for the rate limit or after a 429. If cancelled, the change may have been made; the lease is
        released.

        Args:
            app: the app.
            machine_id: the machine's id.
            change: called with the current config; returns the desired one. It may be called several times, so it must
                have no side effects.
            ttl: seconds of the lease, which is refreshed while it is held.
            patience: the maximum number of seconds for all attempts.
            nonce: the nonce of your own lease on the machine, which is then used instead.
            skip_launch: do not start the machine.
            min_secrets_version: the lowest version of the app's secrets with which the machine may start.
        """
        return await self._editor.modify(
            app,
            machine_id,
            change,
            ttl=ttl,
            patience=patience,
            nonce=nonce,
            skip_launch=skip_launch,
            min_secrets_version=min_secrets_version,
        )

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
        """Create a machine with the config of another one.

        The config is copied, with its unknown keys and its metadata, so that the clone belongs to the same process
        group; only the metadata of one launch or deploy is left out. A volume belongs to one machine, so a machine with
        `mounts` is cloned only if you pass `mounts=`, which may be empty; the same holds for `standbys`.

        Raises InvalidInput, before any machine is created, for a machine that cannot be cloned, such as one whose
        config the API returned incompletely; otherwise what `create` raises. Like `create`, not repeated after a lost
        response; cancelled, the machine may have been created.

        Args:
            app: the app.
            machine_id: the id of the machine to clone.
            region: by default the region of that machine.
            name: unique in the app; by default the API chooses one.
            skip_launch: do not start the machine.
            **changes: fields of the config to set differently, such as `guest=` or `env=`. `size=` replaces the `guest`
                of the source, and `guest=` its `size`.
        """
        if unknown := changes.keys() - fields_dict(MachineConfig).keys():
            raise InvalidInput(f"a machine's config has no field {', '.join(sorted(unknown))}")
        source = await self.get(app, machine_id)
        config = clone_config(source, changes)
        return await self.create(app, config, name=name, region=region or source.region, skip_launch=skip_launch)

    async def adopt(self, app: str, machine_id: str, *, process_group: str = "app") -> None:
        """Put a machine under the management of flyctl: `fly deploy` and `fly scale` then count it to `process_group`.

        Changes metadata only: at once, without a restart or a lease, and safe to repeat. The next `fly deploy` updates
        it, and destroys it if its fly.toml has no such process group. docs: machines/guides-examples/machines-api
        """
        await self.patch_metadata(app, machine_id, flyctl_metadata(process_group))

    async def release(self, app: str, machine_id: str) -> None:
        """Remove a machine from the management of flyctl, the opposite of `adopt`: flyctl then shows it as detached.

        Changes metadata only: at once, without a restart or a lease, and safe to repeat.
        """
        await self.patch_metadata(app, machine_id, flyctl_metadata(None))


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
