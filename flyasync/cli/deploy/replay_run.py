"""Run a recorded deploy again, on an emulator that answers as the recording does, in virtual time."""

import asyncio
import json
from collections.abc import Callable, Iterable, Iterator, Mapping
from functools import partial
from itertools import pairwise
from pathlib import Path
from typing import Any

from attrs import evolve, frozen

from flyasync.api.client import FlyClient
from flyasync.api.recorded import BrokenExchange, client_as_recorded
from flyasync.deploy.builder import DeployBuilder
from flyasync.deploy.plan.spec import DeploySpec
from flyasync.deploy.plan.verification import Verification
from flyasync.deploy.reporting.events import Finished
from flyasync.deploy.reporting.phase import Phase
from flyasync.deploy.reporting.report import DeployReport
from flyasync.deploy.reporting.report_differences import report_differences
from flyasync.deploy.reporting.saved_deploy import first_of
from flyasync.deploy.reporting.spec_json import read_spec
from flyasync.deploy.run.proof import VerificationFailed
from flyasync.emulator.replay.playback import Divergence, Playback, SentRequest
from flyasync.emulator.replay.recording import RecordedDeploy, Recording, RecordingError, read_recording
from flyasync.emulator.server import Emulator
from flyasync.errors import FlyError, InvalidInput
from flyasync.models.machine import Machine

Change = Callable[[DeployBuilder], DeployBuilder]


@frozen(kw_only=True)
class Replayed:
    """The result of a replay: its report, or the error that the deploy raised; and where it left the recording.

    `played` of the `recorded` exchanges were sent again before it did. `differences` are those of the two reports, or
    errors; None if there are no two.
    """

    report: DeployReport | None
    error: FlyError | None
    divergence: Divergence | None
    played: int
    recorded: int
    differences: list[str] | None


@frozen
class Replay:
    """One deploy of a recording, to be run again."""

    recording: Recording
    deploy: RecordedDeploy

    @classmethod
    def of(cls, path: str | Path, app: str | None = None, launch: str | None = None) -> "Replay":
        """Return a deploy of a file; raises InvalidInput if it has none or several with this app and launch."""
        try:
            recording = read_recording(path)
        except RecordingError as error:
            raise InvalidInput(str(error)) from error
        fitting = [
            each
            for each in recording.deploys
            if app in {None, each.line["app"]} and launch in {None, each.line["launch"]}
        ]
        if len(fitting) != 1:
            names = ", ".join(each.name for each in recording.deploys) or "none"
            raise InvalidInput(
                f"{path} has {len(fitting)} such deploys; its deploys are: {names}",
                command="select one with --app and --launch" if recording.deploys else "record a deploy with --record",
            )
        replay = cls(recording, fitting[0])
        # Its answers would all be those of the emulator, which knows nothing of the fleet.
        if recording.ends != "closed" and not any(each.at >= replay.deploy.at for each in recording.exchanges):
            raise InvalidInput(
                f"{path} ends before the first exchange of {replay.deploy.name}, so there is nothing to replay"
            )
        return replay

    @property
    def spec(self) -> DeploySpec:
        """The spec of the deploy, with placeholders; raises InvalidInput if this version cannot read it."""
        try:
            return read_spec(self.deploy.line["spec"])
        except (InvalidInput, KeyError, TypeError, ValueError, AttributeError, RecursionError, ExceptionGroup) as error:
            raise InvalidInput(
                f"{self.recording.source}: this version cannot read the spec of {self.deploy.name}: {first_of(error)!r}"
            ) from error

    @property
    def _is_undo(self) -> bool:
        return bool(self.deploy.line["kind"] == "undo")

    @property
    def _has_ended(self) -> bool:
        return bool(self.deploy.raised or (self.deploy.cancelled_at and self.recording.ends == "closed"))

    async def run(self, change: Change = lambda builder: builder) -> Replayed:
        """Run the deploy with a changed builder, and compare its report with the recorded one."""
        reports: list[DeployReport] = []
        builder = change(DeployBuilder(self._as_recorded(self.spec)))
        builder = builder.on_event(lambda event: reports.append(event.report) if isinstance(event, Finished) else None)
        # An undo takes everything from the machines, so its spec is not complete.
        present = builder.spec if self._is_undo else builder.deployment()
        ids = dict(zip(self.deploy.line["fingerprints"], present.fingerprint_of_all.split(), strict=False))
        playback = Playback(self.recording, self.deploy, ids)
        header, error = self.recording.header, None
        async with (
            Emulator.replaying(playback) as emulator,
            client_as_recorded(
                header, token=emulator.token, base_url=emulator.url, breaks=partial(_broken, playback)
            ) as fly,
        ):
            try:
                await self._again(builder, fly)
            except FlyError as raised:
                error = raised
            urls = (header.get("base_url", ""), header.get("api_url", ""), emulator.url)
        played, recorded = playback.progress
        report, before = (reports[-1] if reports else None), self.deploy.report
        # Without a report, the deploy ended with an error, or was cancelled more than once.
        if before is None and report is None and self._has_ended:
            again = error and {"kind": type(error).__name__, "message": str(error)}
            both = [_without(urls, {"error": each}) for each in (self.deploy.raised, again)]
        else:
            both = [_without(urls, each) for each in (before, report and report.to_dict()) if each]
        return Replayed(
            report=report,
            error=error,
            divergence=playback.divergence,
            played=played,
            recorded=recorded,
            differences=report_differences(*both) if len(both) == 2 else None,  # noqa: PLR2004 - the recorded and the new
        )

    async def _again(self, builder: DeployBuilder, fly: FlyClient) -> None:
        """Execute or undo; cancel it when the recorded deploy was cancelled."""
        every_group = self.deploy.line.get("every_group", False)
        work = builder.undo(fly, every_group=every_group) if self._is_undo else builder.execute(fly)
        task = asyncio.ensure_future(work)
        for at in self.deploy.cancelled_at:
            asyncio.get_running_loop().call_later(at - self.deploy.at, task.cancel)
        # `wait` raises nothing, so a cancellation from outside is distinct from the recorded one.
        try:
            await asyncio.wait([task])
        finally:
            task.cancel()
        if not task.cancelled():
            task.result()

    def _as_recorded(self, spec: DeploySpec) -> DeploySpec:
        """Return a spec that runs nothing on this machine: verifications take as long, and end, as recorded."""
        if spec.verification is None:
            return spec
        ends = dict(_verifications(self.deploy.report or {}))

        async def as_recorded(_fly: FlyClient, machine: Machine) -> None:
            seconds, why = ends.get(machine.name, (0.0, None))
            await asyncio.sleep(seconds)
            if why is not None:
                raise VerificationFailed(why)

        return evolve(spec, verification=Verification.of(as_recorded, timeout=spec.verification.timeout))


def _broken(
    playback: Playback, method: str, path: str, query: tuple[tuple[str, str], ...], body: Any
) -> BrokenExchange | None:
    sent = SentRequest(method=method, path=path, query=query, body=body)
    found = playback.broken(sent, asyncio.get_running_loop().time())
    if found is None:
        return None
    exchange, seconds = found
    return BrokenExchange(error=str(exchange.error), seconds=seconds, failure=exchange.failure or {})


def _without(urls: Iterable[str], report: Mapping[str, Any]) -> dict[str, Any]:
    """Return a report without the URLs of the API, which the texts of some errors contain."""
    text = json.dumps(report)
    for url in filter(None, urls):
        text = text.replace(url, "API")
    found: dict[str, Any] = json.loads(text)
    return found


def _verifications(report: Mapping[str, Any]) -> Iterator[tuple[str, tuple[float, str | None]]]:
    """Yield each machine that was verified: its name, the seconds, and why it failed, if it did."""
    for machine in (machine for region in report.get("regions", ()) for machine in region["machines"]):
        moments, failure = machine["moments"], machine["failure"] or {}
        for moment, following in pairwise(moments):
            if moment["phase"] == Phase.VERIFYING:
                is_failed = failure.get("kind") == VerificationFailed.__name__
                why = failure["message"].removeprefix("the verification failed: ") if is_failed else None
                yield machine["name"], (following["at"] - moment["at"], why)
