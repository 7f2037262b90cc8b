"""The emulator as a value: `async with`, a URL, and what was asked of it."""

import asyncio
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import Future
from contextlib import AbstractContextManager, nullcontext
from datetime import UTC, datetime
from functools import partial, wraps
from tempfile import TemporaryDirectory
from threading import get_ident
from types import TracebackType
from typing import Any, Concatenate, ParamSpec, Self, TypeVar

from aiohttp import web

from flyasync.emulator.core.faults import Fault, Faults
from flyasync.emulator.core.processes import Output
from flyasync.emulator.http.allowed_hosts import AllowedHosts
from flyasync.emulator.http.middleware import ApiMiddleware, HttpOptions
from flyasync.emulator.http.request_log import LoggedRequest
from flyasync.emulator.http.routes.emulator_admin import ControlRoutes
from flyasync.emulator.http.routes.router import HANDLERS, LONG_HANDLERS, application
from flyasync.emulator.http.scheduler import Scheduler
from flyasync.emulator.world import machines, transitions
from flyasync.emulator.world.world import ChangeObserver, World, demand_regions

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
    """A local Machines API that keeps the published limits, states and error bodies of Fly.io.

    It serves every operation of the published document. At the same address are the logs of apps and, with the extra
    `emulator`, as much GraphQL as flyctl asks about apps, images and organizations; neither is limited. Keys encrypt
    and sign with toys.

    It runs on the event loop that starts it. Its methods may be called from any thread while that loop runs; for code
    without a loop there is `flyasync.testing.EmulatorThread`.

    Args:
        host: The address to listen on, by default a loopback one. The emulator guards nothing: any client that
            reaches another one can read and change everything. What is not an address raises ValueError.
        allow_hosts: Names to serve as well as `localhost`, such as `emulator.test`, as `Host` and as `Origin` of web
            pages. A request for any other host, or from a page of any other origin, is refused with 403.
        port: 0 picks a free one.
        seed: The same seed and the same requests at the same times give the same ids, delays and troubles.
        limits: Whether the published rate limits are kept, in real seconds.
        retry_after: Whether a 429 says in `Retry-After` how many seconds to wait.
        capacity: How many machines each region can hold; None, or not named, for any number.
        speed: Seconds that pass in the emulated world for each real one. Limits, latency and delays stay real.
        latency: Bounds of the real seconds a request travels before it is looked at.
        boot: Bounds of the emulated seconds from an accepted create to `started`.
        lag: Bounds of the emulated seconds after which other nodes know a new app or machine. Until then an app is
            404 to all that asks about it, a machine to what reads it, and lists lack both. Names are taken at once,
            `POST /v1/apps?wait=true` is answered when the app is known, and a client that sends the cookie
            `fly_flaps_affinity` the app came with sees everything of it at once.
        secrets_lag: Bounds of the emulated seconds after which machines can be made with a new version of secrets;
            until then a `min_secrets_version` is refused with 412.
        linger: Bounds of the emulated seconds for which a machine that is gone still holds its volume.
        commands: What commands write and how they end, by shell-style patterns of the command; the first that fits
            counts, in a shell script too. Without one, `exec` knows `echo`, `true`, `false`, `sleep`, `cat`, `base64`
            and `sh -c` with `exit`, pipes, redirections, variables, `;`, `&&` and `||`, and finds nothing else. They
            read and write files of the machine's own, those of its config at first; other than on a volume they are
            as in the config again when it boots. `exec` answers at once, after a `sleep` when it is over.
            A machine whose own command (`init.exec`, or `init.entrypoint` and `init.cmd`) is among them exits by
            itself: after the output's `seconds` its lines go to the app's log, and the restart policy takes over as
            after a crash with that exit code. Any other machine runs until it is stopped, but a release command
            (`fly_process_group` is `fly_app_release_command` in the metadata) ends with 0 after a second.
        epoch: The calendar time at which the world begins, by default the present at the start.
        faults: Trouble in force from the start.
    """

    def __init__(
        self,
        *,
        host: str = "127.0.0.1",
        allow_hosts: Iterable[str] = (),
        port: int = 0,
        seed: int = 0,
        limits: bool = True,
        retry_after: bool = False,
        capacity: Mapping[str, int | None] | None = None,
        speed: float = 1.0,
        latency: tuple[float, float] = (0.0, 0.0),
        boot: tuple[float, float] = (1.0, 3.0),
        lag: tuple[float, float] = (0.0, 0.0),
        secrets_lag: tuple[float, float] = (0.0, 0.0),
        linger: tuple[float, float] = (0.0, 0.0),
        commands: Mapping[str, Output] | None = None,
        epoch: datetime | None = None,
        faults: Iterable[Fault] = (),
    ) -> None:
        self._allowed_hosts = AllowedHosts.of(host, allow_hosts)
        self._port = port
        self._capacity = dict(capacity or {})
        if speed <= 0:
            raise ValueError("speed: must be above 0")
        self._speed = speed
        self._make_world = partial(
            World,
            seed=seed,
            boot=_range("boot", boot),
            lag=_range("lag", lag),
            secrets_lag=_range("secrets_lag", secrets_lag),
            linger=_range("linger", linger),
        )
        self._commands = dict(commands or {})
        self._observers: list[ChangeObserver] = []
        self._epoch = epoch
        self._first_faults = tuple(faults)
        self._options = HttpOptions(
            latency=_range("latency", latency), has_limits=limits, tells_retry_after=retry_after, seed=seed
        )
        demand_regions(self._capacity)
        self.faults: Faults = Faults(self._first_faults, seed=seed)
        self._runner: web.AppRunner | None = None
        self._config_dir: TemporaryDirectory[str] | None = None
        self._middleware: ApiMiddleware | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._thread_id = 0

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
        """Serve a new world on the running loop; a second start without a stop raises RuntimeError."""
        if self._runner is not None:
            raise RuntimeError("the emulator is running already")
        self._middleware = middleware = ApiMiddleware(
            Scheduler(self._new_world(), speed=self._speed),
            self.faults,
            options=self._options,
            handlers=HANDLERS,
            long_handlers=LONG_HANDLERS,
        )
        control = ControlRoutes(middleware, self.set_capacity, self.set_host_status, self.push, self.reset)
        app = application(middleware, control, self._allowed_hosts)
        runner = web.AppRunner(app, handler_cancellation=True, access_log=None, shutdown_timeout=0.1)
        await runner.setup()
        try:
            await web.TCPSite(runner, self._allowed_hosts.address, self._port, backlog=4096).start()
        except BaseException:
            await runner.cleanup()
            raise
        self._runner = runner
        self._loop, self._thread_id = asyncio.get_running_loop(), get_ident()

    async def stop(self) -> None:
        """Drop every connection at once, long polls and lost answers too; the log, counts and world stay readable."""
        runner, self._runner = self._runner, None
        if runner is None:
            return
        if self._config_dir is not None:
            self._config_dir.cleanup()
            self._config_dir = None
        middleware = self._opened()
        middleware.scheduler.stop()
        await middleware.drop_all()
        await runner.cleanup()
        self._loop = None

    @_on_its_loop
    def reset(self) -> None:
        """Begin again with an empty world, log and counts, and the capacity and faults given at first."""
        middleware = self._opened()
        self.faults.restart(self._first_faults)
        middleware.reset()
        middleware.scheduler.replace(self._new_world())

    @_on_its_loop
    def set_capacity(self, region: str, machines: int | None) -> None:
        """Let a region hold this many machines, None for any number; those already there stay."""
        demand_regions({region: machines})
        self.world.capacity[region] = machines

    @_on_its_loop
    def set_host_status(self, machine_id: str, host_status: str) -> None:
        """Make the host of a machine and its volume `unreachable` or `unknown`, or `ok` again.

        Until it is `ok` the machine keeps its state, shows its config as `incomplete_config` and no checks, and can be
        read and destroyed by force; all else is refused with 408. What came due meanwhile shows when it is `ok` again.
        An unknown machine or status raises ValueError.
        """
        machine = self.world.machines.get(machine_id)
        if machine is None:
            raise ValueError(f"machine_id: no machine is called {machine_id!r}")
        with self._present() as world:
            transitions.set_host_status(world, machine, host_status)

    @_on_its_loop
    def push(self, image: str) -> str:
        """Move a tag, as pushing another build under it does, and return the digest that the tag is at now.

        `REF:TAG` moves to a new digest, `REF:TAG@DIGEST` to that one, such as back to an earlier one. Until its first
        push a tag has a digest that depends on its name alone. A machine runs what its reference resolved to when it
        was created, or updated to another reference; an update with the same text does not resolve it again. A
        reference with a digest runs that digest. An empty reference raises ValueError.
        """
        if not image:
            raise ValueError("image: a reference is required")
        with self._present() as world:
            return world.images.push(image)

    def on_change(self, callback: ChangeObserver) -> Callable[[], None]:
        """Call back with a machine's record whenever it changes in what decides who serves; return what ends that.

        That is its state, version, cordon or host status, and each time at which its checks turn. The call comes at
        that very moment, in the middle of the work: it must neither raise nor wait, and `serving` sees the moment. A
        machine that goes with its app is `destroyed`; a reset calls nothing, and callbacks stay.
        """
        self._observers.append(callback)
        return partial(self._observers.remove, callback)

    @_on_its_loop
    def serving(self, app: str) -> Counter[str]:
        """Return the number of machines of an app that serve now, by region; an unknown app has none.

        They are started, not cordoned, on a host that is `ok`, pass all their checks, if any, and run no release
        command.
        """
        with self._present() as world:
            return machines.serving(world, app)

    @_on_its_loop
    def set_error_regions(self, *regions: str) -> None:
        """Make these regions, and no others, unreadable to the list of an organization's machines."""
        demand_regions(dict.fromkeys(regions))
        self.world.set_error_regions(regions)

    @_on_its_loop
    def write_log(self, app: str, message: str, *, machine_id: str | None = None, level: str = "info") -> None:
        """Append a line to an app's log, as one of its machines or as none; both must exist."""
        # Found before the world moves on, as the caller knows it.
        world = self.world
        machine = world.machine(app, machine_id) if machine_id else None
        with self._present():
            world.log(app, message, level=level, machine=machine)

    def environment(self) -> dict[str, str]:
        """Return the environment variables that point flyctl, and flyasync, here, and keep flyctl from dialling out.

        `FLY_CONFIG_DIR` is an empty directory of this emulator's own, which goes when it stops: flyctl keeps the
        versions of secrets by the names of apps in its config, and those of a real account must not be among them.
        """
        if self._config_dir is None:
            self._config_dir = TemporaryDirectory(prefix="flyasync-emulator-", ignore_cleanup_errors=True)
        return {
            "FLY_FLAPS_BASE_URL": self.url,
            "FLY_API_TOKEN": self.token,
            "FLY_API_BASE_URL": self.url,
            "FLY_UIEX_BASE_URL": self.url,
            "FLY_CONFIG_DIR": self._config_dir.name,
            # A host: flyctl adds the port, and sends its token there.
            "FLY_TRACE_COLLECTOR_URL": "127.0.0.1",
            "FLY_SEND_METRICS": "0",
            "FLY_SYNTHETICS_AGENT": "0",
            "FLY_NO_UPDATE_CHECK": "1",
        }

    @_on_its_loop
    def counts(self) -> Counter[tuple[str, str]]:
        """Return how many requests each action and identifier had, refused ones included; 0 for what was never asked.

        The identifier is the narrowest thing that the rate limit counts for: a machine's id, a volume's, the app's
        name, and for creating and listing apps the organization's.
        """
        return Counter(self._opened().request_log.counts)

    @_on_its_loop
    def refused_by_limit(self) -> dict[tuple[str, str], int]:
        """Return how many requests of each action and identifier the published limits answered with 429."""
        return self._opened().request_log.refused_by_limit()

    @property
    def url(self) -> str:
        """The base URL while it runs, such as `http://127.0.0.1:43210`."""
        if self._runner is None:
            raise RuntimeError("the emulator is not running")
        address = self._allowed_hosts.local
        host = f"[{address}]" if ":" in address else address
        return f"http://{host}:{self._runner.addresses[0][1]}"

    @property
    def warnings(self) -> list[str]:
        """What it means that the emulator is open to other machines or web pages; empty when it is not."""
        return self._allowed_hosts.warnings

    @property
    def token(self) -> str:
        """A token that works; so does any other but `invalid`."""
        return "emulator-token"

    @property
    def world(self) -> World:
        """The world as the last request or move left it."""
        return self._opened().scheduler.world

    @property
    def commands(self) -> dict[str, Output]:
        """What commands write and how they end, by pattern; change it freely, a reset restores the first one.

        A machine's own command is looked up when the machine has started.
        """
        return self.world.commands

    @property
    def processes(self) -> dict[str, list[dict[str, Any]]]:
        """What `ps` answers, by machine id, where that is not read off the machine's config; change it freely."""
        return self.world.processes

    @property
    @_on_its_loop
    def log(self) -> list[LoggedRequest]:
        """The requests so far, in the order in which they ended."""
        return list(self._opened().request_log.entries)

    def _opened(self) -> ApiMiddleware:
        if self._middleware is None:
            raise RuntimeError("the emulator has not been started")
        return self._middleware

    def _present(self) -> AbstractContextManager[World]:
        # Time stands still in a world that is not served any more.
        return nullcontext(self.world) if self._runner is None else self._opened().scheduler.present()

    def _new_world(self) -> World:
        # Without a zone an epoch is in UTC, as all times of the API are.
        epoch = self._epoch or datetime.now(UTC)
        return self._make_world(
            epoch=epoch if epoch.tzinfo else epoch.replace(tzinfo=UTC),
            capacity=dict(self._capacity),
            commands=dict(self._commands),
            faults=self.faults,
            observers=self._observers,
        )


def _range(name: str, bounds: tuple[float, float]) -> tuple[float, float]:
    low, high = bounds
    if not 0 <= low <= high:
        raise ValueError(f"{name}: must be two seconds, the lower first")
    return (low, high)
