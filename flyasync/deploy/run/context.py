"""What every part of one deploy works with, made once for each plan and passed to all of them."""

from collections.abc import Mapping

from attrs import field, frozen

from flyasync.api.client import FlyClient
from flyasync.deploy.plan.plan import Plan
from flyasync.deploy.plan.spec import DeploySpec
from flyasync.deploy.reporting.journal import Journal
from flyasync.deploy.reporting.phase import Phase
from flyasync.deploy.reporting.run_state import MachineRun
from flyasync.deploy.run.admission import Admission
from flyasync.deploy.run.launch_metadata import LaunchMetadata
from flyasync.deploy.run.leases import DeployLeases
from flyasync.deploy.run.observers import Observers
from flyasync.deploy.run.volumes import VolumeProvider


@frozen(kw_only=True, eq=False)
class DeployContext:
    """One plan under way: what it is for, what it works with, and what is known of its machines so far.

    One that `presses_on` goes on past failures: what one machine meets then stops no other. `is_rollback` says that it
    restores what was there before the deploy that it belongs to. `leases`, `journal` and `observers` are those of the
    whole deploy, however many plans that takes.
    """

    fly: FlyClient
    spec: DeploySpec
    plan: Plan
    leases: DeployLeases
    journal: Journal
    observers: Observers
    presses_on: bool = False
    is_rollback: bool = False
    runs: Mapping[str, MachineRun] = field(init=False)
    admission: Admission = field(init=False)
    metadata: LaunchMetadata = field(init=False)
    volumes: VolumeProvider = field(init=False)

    @runs.default
    def _runs(self) -> dict[str, MachineRun]:
        # One for each machine, however many stages it is in, and for those that are kept.
        there = {machine.id: machine for machine in self.plan.before.machines} if self.plan.before else {}
        runs: dict[str, MachineRun] = {}
        for track in self.plan.tracks:
            runs.setdefault(track.machine.name, MachineRun.of(track, there.get(track.machine_id or "")))
        for track in self.plan.kept:
            if track.machine.name not in runs:
                runs[track.machine.name] = MachineRun.of(track, there.get(track.machine_id or ""))
                runs[track.machine.name].keep()
        return runs

    @admission.default
    def _admission(self) -> Admission:
        # A launch only adds machines, so one that fails puts no other at risk.
        return Admission(self.spec, presses_on=self.presses_on or self.plan.group is None)

    @metadata.default
    def _metadata(self) -> LaunchMetadata:
        return LaunchMetadata(self.spec)

    @volumes.default
    def _volumes(self) -> VolumeProvider:
        there = self.plan.before.volumes if self.plan.before else ()
        return VolumeProvider(self.fly, self.spec, taken={volume.id for volume in there})

    @property
    def app(self) -> str:
        """The app that is deployed."""
        return self.spec.app

    def now(self) -> float:
        """Return the seconds since the deploy began."""
        return self.observers.clock()

    def notify(self, run: MachineRun, phase: Phase, detail: str | None = None) -> None:
        """Record the phase that a machine came to, and notify the observers."""
        self.observers.notify(run, phase, detail)
