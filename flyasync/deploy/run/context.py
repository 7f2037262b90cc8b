"""The context that all parts of a deploy share; created once per plan."""

from collections.abc import Mapping

from attrs import field, frozen

from flyasync.api.client import FlyClient
from flyasync.deploy.plan.plan import Plan
from flyasync.deploy.plan.spec import DeploySpec
from flyasync.deploy.reporting.journal import Journal
from flyasync.deploy.reporting.phase import Phase
from flyasync.deploy.reporting.run_state import MachineRun
from flyasync.deploy.run.addresses import AddressAllocator
from flyasync.deploy.run.admission import Admission
from flyasync.deploy.run.launch_metadata import LaunchMetadata
from flyasync.deploy.run.leases import DeployLeases
from flyasync.deploy.run.observers import Observers
from flyasync.deploy.run.volumes import VolumeProvider
from flyasync.errors import FlyError


@frozen(kw_only=True, eq=False)
class DeployContext:
    """One plan that is being executed: its spec, the services it uses, and the state of its machines so far.

    A plan that `presses_on` continues after failures: one machine's failure stops no other machine. A plan that
    `is_rollback` restores the state before its deploy. `leases`, `journal`, `observers` and `addresses` belong to the
    whole deploy, which may take several plans; a rollback allocates no addresses.
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
    addresses: AddressAllocator = field()

    @runs.default
    def _runs(self) -> dict[str, MachineRun]:
        # One run per machine, even if it has tracks in several stages; kept machines have one too.
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
        # A launch only adds machines, so a failed one puts no other at risk.
        return Admission(self.spec, presses_on=self.presses_on or self.plan.group is None)

    @metadata.default
    def _metadata(self) -> LaunchMetadata:
        return LaunchMetadata(self.spec)

    @volumes.default
    def _volumes(self) -> VolumeProvider:
        there = self.plan.before.volumes if self.plan.before else ()
        return VolumeProvider(self.fly, self.spec, taken={volume.id for volume in there})

    @addresses.default
    def _addresses(self) -> AddressAllocator:
        return AddressAllocator(self.fly, self.app)

    @property
    def app(self) -> str:
        """The name of the app."""
        return self.spec.app

    def now(self) -> float:
        """Return the seconds since the deploy began."""
        return self.observers.clock()

    def notify(self, run: MachineRun, phase: Phase, detail: str | FlyError | None = None) -> None:
        """Record the phase that a machine has reached, and notify the observers."""
        self.observers.notify(run, phase, detail)
