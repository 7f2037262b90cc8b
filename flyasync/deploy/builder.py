"""DeployBuilder: the face that users see."""

import asyncio
from collections.abc import AsyncGenerator, Mapping
from secrets import token_hex
from typing import Any, Literal, cast

from attrs import evolve, field, frozen

from flyasync.api.client import FlyClient
from flyasync.deploy.deployment import Deployment, Fallback, Goal, Requirement, check_launch, check_region
from flyasync.deploy.events import Event, Finished, OnEvent, Planned, Progress
from flyasync.deploy.execute import Execution
from flyasync.deploy.fleet import Fleet
from flyasync.deploy.observe import check_regions, observe
from flyasync.deploy.outcome import Phase, Run
from flyasync.deploy.plan import Plan
from flyasync.deploy.report import DeployReport
from flyasync.deploy.strategies import launch
from flyasync.errors import InvalidInput
from flyasync.models.config import MachineConfig
from flyasync.models.guest import Guest
from flyasync.models.lint import check_app_name, check_config, check_guest, check_image, refuse
from flyasync.models.machine import expected_checks
from flyasync.models.service import Check, Port, Service


@frozen
class DeployBuilder:
    """One image to many regions at once, each machine exactly once, and a true report at the end.

        report = await (
            DeployBuilder("web")
            .to_regions("iad", "lhr", "nrt")
            .with_image("registry.fly.io/web:v2")
            .with_guest(cpus=1, memory_mb=256)
            .execute(fly)
        )

    It is immutable: each method gives a new builder, so that one base serves many apps (`base.for_app(name)`). What the
    API would refuse is refused by the method it is given to, with InvalidInput, before any request.

    A deploy adds the machines of its launch and touches no others. Where a region has no room it is skipped, unless
    `fallback` says otherwise. An onlooker that raises is told of by the event loop's exception handler; the deploy goes
    on.
    """

    app: str
    config: MachineConfig = field(factory=MachineConfig, kw_only=True)
    _regions: tuple[str, ...] = field(default=(), kw_only=True)
    _count: int = field(default=1, kw_only=True)
    _counts: Mapping[str, int] = field(factory=dict, kw_only=True)
    _launch: str | None = field(default=None, kw_only=True)
    _fallback: Fallback = field(default="skip", kw_only=True)
    _goal: Goal | Literal["checked"] = field(default="checked", kw_only=True)
    _timeout: float = field(default=300.0, kw_only=True)
    _requirement: Requirement = field(factory=Requirement, kw_only=True)
    _rolls_back: bool = field(default=False, kw_only=True)
    _onlookers: tuple[OnEvent, ...] = field(default=(), kw_only=True, repr=False)

    def __attrs_post_init__(self) -> None:
        refuse(check_app_name(self.app))

    def for_app(self, app: str) -> "DeployBuilder":
        """Deploy the same to another app."""
        return evolve(self, app=app)

    def to_regions(self, *regions: str) -> "DeployBuilder":
        """Deploy to these regions, by their codes, in place of any named before."""
        for region in regions:
            check_region(region)
            if regions.count(region) > 1:
                raise InvalidInput(f"{region!r} is listed twice; for two machines in it, use count({region}=2)")
        return evolve(self, regions=regions)

    def count(self, per_region: int | None = None, /, **by_region: int) -> "DeployBuilder":
        """Run so many machines in each region, or in those named: `count(2, iad=5)`. The default is one."""
        for count in (*by_region.values(), *([] if per_region is None else [per_region])):
            if type(count) is not int or count < 1:
                raise InvalidInput(
                    f"count is {count!r}, but must be a whole number, 1 or more; leave out the region for none"
                )
        return evolve(self, count=per_region or self._count, counts={**self._counts, **by_region})

    def with_image(self, image: str) -> "DeployBuilder":
        """Run this image. A digest is safest: a tag that moves is not pulled again by machines that have it."""
        refuse(check_image(image))
        return self._with(image=image)

    def with_guest(
        self, *, cpus: int | None = None, memory_mb: int | None = None, cpu_kind: str | None = None
    ) -> "DeployBuilder":
        """Give each machine this many CPUs and this much memory; see `Guest` for what fits together."""
        guest = Guest(cpu_kind=cpu_kind, cpus=cpus, memory_mb=memory_mb)
        refuse(check_guest(guest))
        return self._with(guest=guest)

    def with_size(self, size: str, *, memory_mb: int | None = None) -> "DeployBuilder":
        """Give each machine a named size such as `shared-cpu-2x`, with its least memory unless given."""
        guest = Guest.of_size(size, memory_mb)
        refuse(check_guest(guest))
        return self._with(guest=guest)

    def with_env(self, env: Mapping[str, str] | None = None, /, **more: str) -> "DeployBuilder":
        """Set these environment variables, besides those set before. For secrets, use the app's secrets."""
        return self._with(env={**(self.config.env or {}), **(env or {}), **more})

    def with_metadata(self, metadata: Mapping[str, str] | None = None, /, **more: str) -> "DeployBuilder":
        """Set these metadata keys, besides those set before."""
        return self._with(metadata={**(self.config.metadata or {}), **(metadata or {}), **more})

    def with_service(self, service: Service | None = None, /, *, internal_port: int | None = None) -> "DeployBuilder":
        """Have the Fly Proxy route to a service: the one given, or the web server on `internal_port`.

        The latter is reached on ports 80 and 443, with http redirected to https.
        """
        if (service is None) == (internal_port is None):
            raise InvalidInput("with_service takes either a Service or internal_port=…, and one of them")
        added = service or _web(internal_port)
        return self._with(services=(*(self.config.services or ()), added))

    def with_check(self, name: str, check: Check) -> "DeployBuilder":
        """Check each machine; the deploy then waits until it passes, unless `wait_for` says otherwise."""
        return self._with(checks={**(self.config.checks or {}), name: check})

    def with_config(self, config: MachineConfig) -> "DeployBuilder":
        """Start from a whole config; the other `with_…` methods change it from there."""
        return evolve(self, config=config)

    def with_launch(self, launch: str) -> "DeployBuilder":
        """Name the launch, so that executing it again finds its machines and makes only what is missing.

        Without a name, each `execute` is a launch of its own.
        """
        return evolve(self, launch=check_launch(launch))

    def fallback(self, *regions: str) -> "DeployBuilder":
        """Say where a machine goes when its region has no room.

        `fallback("skip")` leaves it out, which is the default; `fallback("nearest")` takes the nearest region with room
        that is not wanted itself; `fallback("ewr", "ord")` tries these in order.
        """
        if regions in {("skip",), ("nearest",)}:
            return evolve(self, fallback=regions[0])
        if not regions:
            raise InvalidInput("fallback needs 'skip', 'nearest', or regions to try in order")
        for region in regions:
            check_region(region)
            if regions.count(region) > 1:
                raise InvalidInput(f"{region!r} is listed twice as a fallback")
        return evolve(self, fallback=regions)

    def wait_for(
        self, goal: Goal | Literal["checked"] = "checked", /, *, timeout: float | None = None
    ) -> "DeployBuilder":
        """Wait until each machine is `started`, or `healthy` (all its checks pass), or with None not at all.

        `checked`, the default, is `healthy` where the config has checks, else `started`. `timeout` is in seconds for
        each machine, from its creation; 300 unless given.
        """
        if goal not in {"started", "healthy", "checked", None}:
            raise InvalidInput(f"{goal!r} cannot be waited for: use 'started', 'healthy', 'checked' or None")
        if timeout is not None and not timeout > 0:
            raise InvalidInput(f"timeout is {timeout!r}, but must be a number of seconds above 0")
        return evolve(self, goal=goal, timeout=timeout or self._timeout)

    def require(self, regions: float | str) -> "DeployBuilder":
        """Call the deploy ok only when so many regions run: `all`, a number, or a share such as 0.6.

        A region runs when all its machines do, here or where they fell back to. The default is at least one.
        """
        return evolve(self, requirement=Requirement.of(regions))

    def roll_back_on_failure(self, roll_back: bool = True, /) -> "DeployBuilder":  # noqa: FBT001, FBT002 - a switch
        """Destroy the machines that a deploy made if it misses its requirement; by default they stay up."""
        return evolve(self, rolls_back=roll_back)

    def on_event(self, onlooker: OnEvent) -> "DeployBuilder":
        """Tell `onlooker` of every event; the last one is `Finished`, with the report, also after a cancellation."""
        if not callable(onlooker):
            raise InvalidInput(f"on_event takes a function of one event, not {onlooker!r}")
        return evolve(self, onlookers=(*self._onlookers, onlooker))

    def deployment(self) -> Deployment:
        """Say what is wanted, as one value; raises InvalidInput for what the API would refuse as a whole."""
        if not self._regions:
            raise InvalidInput("no region to deploy to: name some with to_regions('iad', …)")
        if strangers := set(self._counts) - set(self._regions):
            raise InvalidInput(f"count names {', '.join(sorted(strangers))}, which to_regions does not")
        if self._requirement.needed(len(self._regions)) > len(self._regions):
            raise InvalidInput(f"{self._requirement} are required, but only {len(self._regions)} are wanted")
        refuse(check_config(self.config))
        return Deployment(
            app=self.app,
            launch=self._launch or token_hex(5),
            config=self.config,
            counts={region: self._counts.get(region, self._count) for region in self._regions},
            fallback=self._fallback,
            goal=self._what_to_wait_for(),
            timeout=self._timeout,
            requirement=self._requirement,
            rolls_back=self._rolls_back,
        )

    async def plan(self, fly: FlyClient) -> Plan:
        """Say what `execute` would do now; changes nothing. Raises NotFound when there is no such app."""
        return await _plan(fly, self.deployment())

    async def execute(self, fly: FlyClient) -> DeployReport:
        """Deploy, and report what runs where; `report.ok` says whether the requirement is met.

        Regions go out together. Each machine is created exactly once, however many answers are lost, then waited for.
        Before the report, one look at the app tells what is there. A machine or region that fails stops no other.

        Raises InvalidInput, NotFound for an app that is not there, and what else reading the app raises: nothing has
        happened then. Afterwards failures are in the report; `raise_for_failure()` makes them a DeployFailed.

        Cancelled, it creates no further machine, hears creates under way out (as long as one exchange may take), looks
        at what is there, tells it as the event `Finished`, and raises the cancellation on. Machines that are up stay
        up. A second cancellation cuts this short.
        """
        deployment = self.deployment()
        onlookers = _Onlookers(self._onlookers)
        plan = await _plan(fly, deployment)
        onlookers.tell(Planned(at=onlookers.clock(), plan=plan))
        execution = Execution(fly, deployment, plan, onlookers.note, onlookers.clock)
        try:
            await execution.walk()
            report = execution.report(await execution.look())
            if deployment.rolls_back and report.is_missed:
                await execution.take_back()
                report = execution.report(await execution.look())
        except BaseException:  # a cancellation as a rule; whatever it is, what is there must be told
            report = execution.report(await execution.last_look(), cancelled=True)
            onlookers.tell(Finished(at=onlookers.clock(), report=report))
            raise
        onlookers.tell(Finished(at=onlookers.clock(), report=report))
        return report

    async def stream(self, fly: FlyClient) -> AsyncGenerator[Event, None]:
        """Deploy, and give each event as it happens; the last one is `Finished`, with the report.

        Raises what `execute` raises. Closed early, the deploy is cancelled, and ends as `execute` does then; a `break`
        closes it only if it is used in `contextlib.aclosing`.
        """
        events: asyncio.Queue[Event | None] = asyncio.Queue()
        deploy = asyncio.ensure_future(self.on_event(events.put_nowait).execute(fly))
        deploy.add_done_callback(lambda _: events.put_nowait(None))
        try:
            while (event := await events.get()) is not None:
                yield event
            await deploy
        finally:
            deploy.cancel()
            await asyncio.gather(deploy, return_exceptions=True)

    def _what_to_wait_for(self) -> Goal:
        has_checks = bool(expected_checks(self.config))
        if self._goal == "checked":
            return "healthy" if has_checks else "started"
        if self._goal == "healthy" and not has_checks:
            raise InvalidInput(
                "wait_for('healthy') needs a check in the config: add one with with_check, or wait for 'started'"
            )
        return self._goal

    def _with(self, **changes: Any) -> "DeployBuilder":
        return evolve(self, config=evolve(self.config, **changes))


async def _plan(fly: FlyClient, deployment: Deployment) -> Plan:
    fleet, wrong = await asyncio.gather(
        observe(fly, deployment), check_regions(fly, deployment), return_exceptions=True
    )
    for outcome in (wrong, fleet):
        if isinstance(outcome, BaseException):
            raise outcome
    return launch(deployment, cast("Fleet", fleet))


def _web(internal_port: int | None) -> Service:
    return Service(
        protocol="tcp",
        internal_port=internal_port,
        ports=(
            Port(port=80, handlers=("http",), force_https=True),
            Port(port=443, handlers=("tls", "http")),
        ),
    )


class _Onlookers:
    """Those who watch one deploy, and the clock they see it by."""

    def __init__(self, onlookers: tuple[OnEvent, ...]) -> None:
        self._onlookers = onlookers
        self._loop = asyncio.get_running_loop()
        self._start = self._loop.time()

    def clock(self) -> float:
        """Give the seconds since the deploy began."""
        return round(self._loop.time() - self._start, 3)

    def note(self, run: Run, phase: Phase, detail: str | None) -> None:
        """Note the phase a machine came to, and tell of it."""
        run.phase = phase
        if phase in {Phase.CREATED, Phase.ADOPTED}:
            run.created_after = self.clock()
        self.tell(
            Progress(
                at=self.clock(),
                name=run.wanted.name,
                asked=run.wanted.region,
                region=run.region,
                phase=phase,
                machine_id=run.machine.id if run.machine else None,
                detail=detail,
            )
        )

    def tell(self, event: Event) -> None:
        """Tell everyone; an onlooker's own failure must not change what becomes of the deploy."""
        for onlooker in self._onlookers:
            try:
                onlooker(event)
            except Exception as error:  # noqa: BLE001 - told where asyncio tells of what nobody caught
                self._loop.call_exception_handler(
                    {"message": f"on_event failed for {type(event).__name__}", "exception": error}
                )
