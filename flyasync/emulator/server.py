"""The emulator as an object: start it with `async with`, use its URL, and inspect the requests it served."""

import asyncio
import ssl
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import Future
from contextlib import AbstractContextManager, nullcontext
from datetime import datetime
from functools import cache, partial, wraps
from pathlib import Path
from tempfile import TemporaryDirectory
from threading import get_ident
from types import TracebackType
from typing import Any, Concatenate, ParamSpec, Self, TypeVar

from aiohttp import web

from flyasync.emulator.core.accepted_token import AcceptedToken
from flyasync.emulator.core.faults import Fault, Faults
from flyasync.emulator.core.processes import Output
from flyasync.emulator.core.regions import RETIRED
from flyasync.emulator.http.allowed_hosts import AllowedHosts
from flyasync.emulator.http.certificate_authority import CertificateAuthority
from flyasync.emulator.http.environment import environment
from flyasync.emulator.http.middleware import ApiMiddleware, HttpOptions
from flyasync.emulator.http.request_log import LoggedRequest
from flyasync.emulator.http.routes.emulator_admin import ControlRoutes
from flyasync.emulator.http.routes.router import HANDLERS, LONG_HANDLERS, server
from flyasync.emulator.http.scheduler import Scheduler
from flyasync.emulator.replay.playback import Playback
from flyasync.emulator.state import document
from flyasync.emulator.world import actions, images, machines, transitions
from flyasync.emulator.world.reach import PortReach, reach, route_request
from flyasync.emulator.world.world import ChangeObserver, World, demand_regions
from flyasync.emulator.world_options import WorldOptions
from flyasync.emulator.world_source import WorldSource

P = ParamSpec("P")
T = TypeVar("T")


def _on_its_loop(method: Callable[Concatenate["Emulator", P], T]) -> Callable[Concatenate["Emulator", P], T]:
    """Run a method on the loop that serves, and wait for its result, when another thread calls it."""

    @wraps(method)
    def hop(self: "Emulator", /, *args: P.args, **kwargs: P.kwargs) -> T:
        loop = self._loop
        if loop is None or get_ident() == self._thread_id or not loop.is_running():
            return method(self, *args, **kwargs)
        result: Future[T] = Future()

        def work() -> None:
            try:
                result.set_result(method(self, *args, **kwargs))
            except BaseException as error:  # noqa: BLE001 - raised in the thread that called
                result.set_exception(error)

        loop.call_soon_threadsafe(work)
        return result.result()

    return hop


class Emulator:
    """A local Machines API with the published rate limits, machine states and error bodies of Fly.io.

    It serves every operation of the published API document. The same address serves the logs of apps and, with the
    extra `emulator`, the GraphQL that flyctl uses for apps, images and organizations; neither is rate limited. Secret
    keys encrypt and sign with toy algorithms that protect nothing.

    It runs on the event loop that starts it. Its methods may be called from any thread while that loop runs; for code
    without a loop there is `flyasync.testing.EmulatorThread`.

    Args:
        host: The IP address to listen on; the default is a loopback address. The emulator has no access control: any
            client that can reach another address can read and change everything. A name raises ValueError.
        allow_hosts: Names to accept in addition to `localhost`, such as `emulator.test`, as the `Host` of a request and
            as the `Origin` of a web page. A request with any other host or origin is refused with 403.
        port: 0 picks a free one.
        tls: Whether to serve HTTPS, with a certificate for localhost, 127.0.0.1, `host` and `allow_hosts` whose
            authority is made for this emulator: see `ca_file` and `ssl_context`. Needs the extra `tls`; without it,
            ImportError.
        seed: The same seed and the same requests at the same times give the same ids, delays and faults.
        limits: Whether to enforce the published rate limits, in real seconds.
        retry_after: Whether a 429 has a `Retry-After` header with the seconds to wait.
        capacity: How many machines each region can hold; unlimited for None and for a region that is absent.
        retired: Retired regions, by default those that Fly has retired: a new machine or volume is refused with 422,
            unless its region expression allows another region. An empty list opens all 35 regions.
        speed: Emulated seconds for each real second. Rate limits, latency and the delays of faults stay real.
        latency: Bounds of the real seconds before a request is processed.
        boot: Bounds of the emulated seconds from an accepted create to `started`.
        startup: Bounds of the emulated seconds from `started` until the process of a machine responds to its checks. A
            check passes with its first attempt after that, and after its grace period and one interval at the earliest.
        lag: Bounds of the emulated seconds that nodes are behind. Until other nodes know a new app or machine, every
            request for the app and every read of the machine returns 404, and lists omit both. Each list of machines,
            volumes or apps shows the past, at most two minutes ago. Names are taken immediately,
            `POST /v1/apps?wait=true` returns when the app is known, and a client that sends the cookie
            `fly_flaps_affinity` from the create response sees the app, and what it contains, as they are.
        secrets_lag: Bounds of the emulated seconds until machines can be created with a new version of the secrets;
            until then, that `min_secrets_version` is refused with 412.
        linger: Bounds of the emulated seconds for which a destroyed machine still claims its volume.
        image_lag: Bounds of the emulated seconds for which an image that was just pushed is not found: a new machine or
            version with it is refused with 400 and `MANIFEST_UNKNOWN`. A tag counts as pushed when it is first used.
        tag_moves: The tags that move to another digest, as `push` moves them, each with the emulated seconds after the
            start.
        tokens: The tokens that are accepted, with what each permits; an unknown or expired one is refused with 401. If
            none is listed, every token except `invalid` is accepted, and permits everything.
        addresses: The types of the IP addresses that each new app gets, such as `shared_v4` and `v6`. By default a new
            app has none, as at Fly, so that the proxy cannot reach it: see `reach`.
        commands: The output and exit code of commands, by shell-style patterns of the command; the first pattern that
            matches applies, also within a shell script. Commands without a pattern: `exec` emulates `echo`, `true`,
            `false`, `sleep`, `cat`, `base64`, `dd`, `mv`, `test` and `sh -c` with `exit`, pipes, redirections,
            variables, `;`, `&&` and `||`; every other command is not found. They read and write
            the machine's own files, which a boot resets to those of the config, except on a volume. `exec` returns
            immediately, or when a `sleep` is over.
            A machine whose own command (`init.exec`, or `init.entrypoint` and `init.cmd`) matches a pattern exits by
            itself: after the `seconds` of the output, its lines are written to the app's log, and the restart policy
            applies as after a crash with that exit code. Any other machine runs until it is stopped, except a release
            command (`fly_process_group` is `fly_app_release_command` in the metadata), which exits with 0 after one
            second.
        epoch: The calendar time at which the emulated world begins; the default is the current time at `start`.
        faults: The faults that are active from the start.
        state: A file that preserves the world, its faults, commands and capacity when the emulator stops or is killed:
            a change is in the file before the response to its request is sent. A new file begins with an empty world;
            from any other file, the world continues at the time at which it was left. `capacity`, `commands` and
            `faults` are then added to those of the file. It contains the values of secrets, so only its owner can read
            it. `start` raises ValueError for a file that cannot be written, belongs to another program or version, or
            is in use.
    """

    def __init__(
        self,
        *,
        host: str = "127.0.0.1",
        allow_hosts: Iterable[str] = (),
        port: int = 0,
        tls: bool = False,
        seed: int = 0,
        limits: bool = True,
        retry_after: bool = False,
        capacity: Mapping[str, int | None] | None = None,
        retired: Iterable[str] = RETIRED,
        speed: float = 1.0,
        latency: tuple[float, float] = (0.0, 0.0),
        boot: tuple[float, float] = (1.0, 3.0),
        startup: tuple[float, float] = (0.0, 0.0),
        lag: tuple[float, float] = (0.0, 0.0),
        secrets_lag: tuple[float, float] = (0.0, 0.0),
        linger: tuple[float, float] = (0.0, 0.0),
        image_lag: tuple[float, float] = (0.0, 0.0),
        tag_moves: Mapping[str, float] | None = None,
        tokens: Iterable[AcceptedToken] = (),
        addresses: Iterable[str] = (),
        commands: Mapping[str, Output] | None = None,
        epoch: datetime | None = None,
        faults: Iterable[Fault] = (),
        state: str | Path | None = None,
    ) -> None:
        self._allowed_hosts = AllowedHosts.of(host, allow_hosts, "https" if tls else "http")
        self._authority = CertificateAuthority.of(self._allowed_hosts.certified) if tls else None
        self._port = port
        self._speed = _positive("speed", speed)
        world_options = WorldOptions(
            seed=seed,
            boot=boot,
            startup=startup,
            lag=lag,
            secrets_lag=secrets_lag,
            linger=linger,
            image_lag=image_lag,
            capacity=dict(capacity or {}),
            retired=retired,
            tag_moves=dict(tag_moves or {}),
            tokens=tokens,
            addresses=addresses,
            commands=dict(commands or {}),
            epoch=epoch,
        )
        self.faults: Faults = Faults(faults, seed=seed)
        self._source = WorldSource(world_options, self.faults, state)
        self._playback: Playback | None = None
        self._options = HttpOptions(latency=latency, has_limits=limits, sends_retry_after=retry_after, seed=seed)
        self._runner: web.ServerRunner | None = None
        self._folder: TemporaryDirectory[str] | None = None
        self._middleware: ApiMiddleware | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._thread_id = 0

    @classmethod
    def from_world(cls, world: str | Path | Mapping[str, Any], **options: Any) -> Self:
        """Return an emulator that starts, and after a reset starts over, with a copy of a world.

        `world` is what `dump` and `GET /_emulator/world` return, as JSON or as the path of a file with that JSON. The
        options are those of `Emulator`; capacity, commands and faults are added to those of the world. Raises
        ValueError for any other JSON, and OSError for a file that cannot be read.
        """
        emulator = cls(**options)
        found = dict(world) if isinstance(world, Mapping) else document.parsed(Path(world).read_bytes(), str(world))
        emulator._source.begin_with(found)
        return emulator

    @classmethod
    def replaying(cls, playback: Playback, **options: Any) -> Self:
        """Return an emulator that answers the requests of a deploy from its recording, as long as they are the same.

        Then it continues with the world that the recording shows at that time.
        """
        emulator = cls(**options)
        emulator._playback = playback
        return emulator

    def __repr__(self) -> str:
        return f"<Emulator {self.url}: {self._opened()!r}>" if self._runner else "<Emulator, not running>"

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.stop()

    async def start(self) -> None:
        """Serve a new world, or that of the state file; raise RuntimeError if the emulator is already running."""
        if self._runner is not None:
            raise RuntimeError("the emulator is already running")
        try:
            await self._serve()
        except BaseException:
            self._source.close()
            raise

    async def _serve(self) -> None:
        scheduler = Scheduler(self._source.open(), speed=self._speed, save=self._source.save)
        self._middleware = middleware = ApiMiddleware(
            scheduler,
            self.faults,
            options=self._options,
            handlers=HANDLERS,
            long_handlers=LONG_HANDLERS,
            playback=self._playback,
        )
        control = ControlRoutes(
            middleware,
            self.set_capacity,
            self.set_host_status,
            self.crash,
            self.push,
            self.dump,
            self.load,
            self.reset,
        )
        _keep_memory()
        runner = web.ServerRunner(server(middleware, control, self._allowed_hosts), shutdown_timeout=0.1)
        await runner.setup()
        try:
            tls = self._authority.server if self._authority else None
            await web.TCPSite(runner, self._allowed_hosts.address, self._port, backlog=4096, ssl_context=tls).start()
        except BaseException:
            await runner.cleanup()
            raise
        self._runner = runner
        self._loop, self._thread_id = asyncio.get_running_loop(), get_ident()
        # What was due while nothing was served is due now.
        with scheduler.present():
            pass

    async def stop(self) -> None:
        """Close every connection immediately, also those of long polls; the log, counts and world stay readable."""
        runner, self._runner = self._runner, None
        if runner is None:
            return
        if self._folder is not None:
            self._folder.cleanup()
            self._folder = None
        middleware = self._opened()
        with middleware.scheduler.present():
            pass  # the time of the world is that of the end
        middleware.scheduler.stop()
        await middleware.drop_all()
        await runner.cleanup()
        self._source.close()
        self._loop = None

    @_on_its_loop
    def dump(self) -> dict[str, Any]:
        """Return the whole world as JSON: every record, pending transitions, and the state of the random numbers.

        The values of secrets are included, since machines that boot read them. Options of the emulator, the log of
        requests and the rate limits are not part of the world, nor are the earlier states that stale lists show.
        """
        with self._present() as world:
            return document.dump(world)

    @_on_its_loop
    def load(self, world: Mapping[str, Any]) -> None:
        """Replace the world by what `dump` returned; its clock and its pending transitions continue.

        A waiting request continues to wait for the machine with its id. Log and rate limits stay. Raises ValueError for
        any other JSON, which changes nothing.
        """
        self._opened().scheduler.replace(self._source.loaded(world))

    @_on_its_loop
    def reset(self) -> None:
        """Start over with an empty world, log and counts, and with the capacity, commands and faults of the start.

        An emulator of `from_world` starts over with that world. A state file is cleared.
        """
        middleware = self._opened()
        middleware.reset()
        middleware.scheduler.restart(self._source.restarted())

    @_on_its_loop
    def set_capacity(self, region: str, machines: int | None) -> None:
        """Set how many machines a region can hold, None for any number; its existing machines stay."""
        demand_regions({region: machines})
        with self._present() as world:
            world.capacity[region] = machines

    @_on_its_loop
    def set_host_status(self, machine_id: str, host_status: str) -> None:
        """Set the host status of a machine and its volume: `unreachable`, `unknown` or `ok`.

        Until the status is `ok` again, the machine keeps its state, shows its config as `incomplete_config` and has no
        checks. It can be read, and destroyed by force; every other request is refused with 408. State changes that
        become due meanwhile appear when the status is `ok`. An unknown machine or status raises ValueError.
        """
        machine = self.world.machines.get(machine_id)
        if machine is None:
            raise ValueError(f"machine_id: there is no machine {machine_id!r}")
        with self._present() as world:
            transitions.set_host_status(world, machine, host_status)

    @_on_its_loop
    def crash(self, machine_id: str, exit_code: int = 1) -> None:
        """End the process of a started machine with an exit code; its restart policy applies.

        An unknown machine, or one that is not started, raises ValueError. The fault `crash` is for future boots.
        """
        with self._present() as world:
            machine = world.machines.get(machine_id)
            if machine is None:
                raise ValueError(f"machine_id: there is no machine {machine_id!r}")
            actions.crash(world, machine, exit_code)

    @_on_its_loop
    def push(self, image: str) -> str:
        """Move a tag, as `docker push` of another build does, and return the digest that the tag now points to.

        `REF:TAG` moves the tag to a new digest, `REF:TAG@DIGEST` to that digest. Before its first push, a tag points to
        a digest that depends on its name alone. A machine runs the digest that its reference resolved to when the
        machine was created or was updated to another reference; an update to the same reference does not resolve it
        again. A reference with a digest runs that digest. An empty reference raises ValueError.
        """
        if not image:
            raise ValueError("image: a reference is required")
        with self._present() as world:
            return images.push(world, image)

    def on_change(self, callback: ChangeObserver) -> Callable[[], None]:
        """Call `callback` with a machine's record when a change may affect who serves; return a function that ends it.

        Such changes are those of its state, version, cordon and host status, and of the status of its checks. The
        callback runs synchronously at that moment, on the loop of the emulator: it must not raise or block, and
        `serving` returns the state of that moment. A machine that is deleted with its app is `destroyed`. A reset calls
        no callbacks and keeps them.
        """
        self._source.observers.append(callback)
        return partial(self._source.observers.remove, callback)

    @_on_its_loop
    def serving(self, app: str) -> Counter[str]:
        """Return the number of machines of an app that serve now, by region; an unknown app has none.

        A machine serves when it is started, not cordoned, on a host that is `ok`, passes all its checks, if any, and
        does not run a release command.
        """
        with self._present() as world:
            return machines.serving(world, app)

    @_on_its_loop
    def reach(self, app: str, *, load: int = 1) -> list[PortReach]:
        """Return what the Fly Proxy would answer on each port of an app, at each of its addresses, and why.

        It depends on the addresses, services, checks, cordons, autostart and concurrency limits of the app, with `load`
        concurrent requests, 1 or more. Nothing is started or stopped. An unknown app raises ValueError.
        """
        with self._present() as world:
            if app not in world.apps:
                raise ValueError(f"app: there is no app {app!r}")
            return reach(world, app, load=load)

    @_on_its_loop
    def request(self, app: str) -> str | None:
        """Do what a request through the Fly Proxy does to an app, and return the id of the machine that gets it.

        That is a machine that serves; or else a stopped or suspended one with autostart, which is started. The proxy
        has its lease for ten seconds then, and does not start a machine whose lease another client holds. None if no
        machine gets the request: `reach` shows why. An unknown app raises ValueError.
        """
        with self._present() as world:
            if app not in world.apps:
                raise ValueError(f"app: there is no app {app!r}")
            machine = route_request(world, app)
            return machine.id if machine else None

    @_on_its_loop
    def set_error_regions(self, *regions: str) -> None:
        """Make the list of an organization's machines report exactly these regions as unreadable."""
        demand_regions(dict.fromkeys(regions))
        with self._present() as world:
            world.set_error_regions(regions)

    @_on_its_loop
    def write_log(self, app: str, message: str, *, machine_id: str | None = None, level: str = "info") -> None:
        """Append a line to the log of an app, from one of its machines if `machine_id` is set; both must exist."""
        # Looked up before the clock advances, in the state that the caller knows.
        world = self.world
        machine = world.machine(app, machine_id) if machine_id else None
        with self._present():
            world.log(app, message, level=level, machine=machine)

    def environment(self) -> dict[str, str]:
        """Return the environment variables that point flyctl and flyasync to this emulator, and to nothing else.

        They name every host that flyctl has a setting for, disable its metrics, incidents and update checks, and with
        `tls` name the `ca_file`. `FLY_CONFIG_DIR` is a new directory that only this user can read and that is deleted
        when the emulator stops: flyctl stores the versions of secrets by app name in its config, and must not mix them
        with those of a real account. Raises RuntimeError when the emulator is not running.
        """
        config_dir = self._own_folder() / "config"
        config_dir.mkdir(mode=0o700, exist_ok=True)
        ca_file = self.ca_file
        return environment(self.url, self.token, config_dir=str(config_dir), ca_file=str(ca_file) if ca_file else None)

    @_on_its_loop
    def counts(self) -> Counter[tuple[str, str]]:
        """Return the number of requests by (action, identifier), including refused ones; absent keys count 0.

        The identifier is the one that the rate limit counts by: the id of the machine or volume, else the name of the
        app, and for creating and listing apps that of the organization.
        """
        return Counter(self._opened().request_log.counts)

    @_on_its_loop
    def refused_by_limit(self) -> dict[tuple[str, str], int]:
        """Return the number of requests by (action, identifier) that the rate limits refused with 429."""
        return self._opened().request_log.refused_by_limit()

    @_on_its_loop
    def not_served(self) -> Counter[str]:
        """Return the number of requests for each thing that the emulator does not have.

        These are fields, arguments and types of GraphQL, such as `Query.addOn`, and paths such as `GET /api/v1/x`.
        """
        return Counter(self._opened().request_log.not_served)

    @property
    def url(self) -> str:
        """The base URL, such as `http://127.0.0.1:43210`; raises RuntimeError when the emulator is not running.

        With `tls` it begins with `https`.
        """
        if self._runner is None:
            raise RuntimeError("the emulator is not running")
        address = self._allowed_hosts.local
        host = f"[{address}]" if ":" in address else address
        return f"{self._allowed_hosts.scheme}://{host}:{self._runner.addresses[0][1]}"

    @property
    def ca_file(self) -> Path | None:
        """The certificate authority that clients must trust, as a PEM file that is deleted at `stop`.

        None without `tls`. Raises RuntimeError when the emulator is not running.
        """
        if self._authority is None:
            return None
        file = self._own_folder() / "ca.pem"
        if not file.exists():
            file.write_bytes(self._authority.pem)
        return file

    @property
    def ssl_context(self) -> ssl.SSLContext | None:
        """The context for clients in Python, such as `urlopen(url, context=…)`; None without `tls`.

        It trusts this emulator and no other server.
        """
        return self._authority.client if self._authority else None

    @property
    def warnings(self) -> list[str]:
        """One sentence for each way in which other machines or web pages can reach the emulator."""
        return self._allowed_hosts.warnings

    @property
    def token(self) -> str:
        """A token that is accepted: of those that are listed, the one with the fewest restrictions."""
        tokens = self._source.options.tokens
        return min(tokens, key=_restrictions).value if tokens else "emulator-token"

    @property
    def world(self) -> World:
        """The emulated world after the last request or state change."""
        return self._opened().scheduler.world

    @property
    def commands(self) -> dict[str, Output]:
        """The output and exit code of commands, by pattern; it can be changed, and a reset restores the original.

        The own command of a machine is looked up when the machine has started.
        """
        return self.world.commands

    @property
    def processes(self) -> dict[str, list[dict[str, Any]]]:
        """The processes that `ps` returns by machine id, instead of those of the config; it can be changed."""
        return self.world.processes

    @property
    @_on_its_loop
    def log(self) -> list[LoggedRequest]:
        """The requests so far, in the order in which they were completed."""
        return list(self._opened().request_log.entries)

    def _opened(self) -> ApiMiddleware:
        if self._middleware is None:
            raise RuntimeError("the emulator has not been started")
        return self._middleware

    def _own_folder(self) -> Path:
        if self._runner is None:
            raise RuntimeError("the emulator is not running")
        if self._folder is None:
            self._folder = TemporaryDirectory(prefix="flyasync-emulator-", ignore_cleanup_errors=True)
        return Path(self._folder.name)

    def _present(self) -> AbstractContextManager[World]:
        # The clock of a world stops when it is no longer served.
        return nullcontext(self.world) if self._runner is None else self._opened().scheduler.present()


@cache
def _keep_memory() -> None:
    """Have glibc keep the memory of the 256 KiB that asyncio reads into, for all reads of this process.

    It returns blocks of this size to the kernel, until one that is larger was freed: two page faults for each request.
    """
    bytes(1 << 20)


def _restrictions(token: AcceptedToken) -> tuple[bool, ...]:
    return token.expires is not None, token.read_only, token.app is not None, token.org is not None


def _positive(name: str, value: float) -> float:
    if value <= 0:
        raise ValueError(f"{name} is {value}, but must be above 0")
    return value
