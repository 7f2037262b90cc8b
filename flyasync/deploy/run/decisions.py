"""Decisions made while a plan is executed, from the results of its machines so far; no I/O.

The plan contains every decision that can be made before the first change. These depend on what has happened since.
"""

from collections.abc import Collection, Mapping, Sequence

from flyasync.deploy.plan.fleet import oldest
from flyasync.deploy.plan.plan import Cordon, Destroy, Plan, Stage, Start, Stop, Target, Track, Uncordon, Update
from flyasync.deploy.plan.spec import DeploySpec, LaneKey
from flyasync.deploy.reporting.phase import Phase
from flyasync.deploy.reporting.run_state import MachineRun
from flyasync.deploy.run.admission import Admission
from flyasync.deploy.run.create import Unlisted

Runs = Mapping[str, MachineRun]
"""The runs of all machines of a plan, by their names."""

LEASED = Update | Start | Cordon | Uncordon | Stop | Destroy
"""The steps that change an existing machine."""


def changes_nothing(plan: Plan) -> bool:
    """Whether a plan changes nothing in its group."""
    return plan.group is not None and plan.is_empty


def in_order(stage: Stage, *, unlocked: Collection[str]) -> Sequence[Track]:
    """Return the tracks of a stage in the order to begin them."""
    # 1. All groups are locked: the first machine of each region comes before the second machine of any region.
    # 2. One is empty: all deployers begin with the same machine, and its name can be taken by only one of them.
    return sorted(stage.tracks, key=lambda track: track.machine.name) if unlocked else stage.tracks


def next_locks(stage: Stage, runs: Runs, locking: Mapping[str, str]) -> dict[str, str]:
    """Return by group the machine to lock before a stage destroys the group's locking machine.

    It is the machine that other deployers would try to lock next.
    """
    leaving = {track.machine_id for track in stage.tracks if any(isinstance(step, Destroy) for step in track.steps)}
    heirs = {}
    for group in (group for group, machine_id in locking.items() if machine_id in leaving):
        there = [run for run in runs.values() if run.desired.group == group and run.phase is not Phase.DESTROYED]
        heir = oldest(run.machine for run in there if run.machine and run.machine.id not in leaving)
        if heir:
            heirs[group] = heir.id
    return heirs


def may_have_woken(track: Track) -> bool:
    """Whether a plan updates a stopped machine, which the proxy may have started since, so that it may serve."""
    return track.target is Target.REST and any(isinstance(step, Update) for step in track.steps)


def has_to_stay(track: Track, plan: Plan, admission: Admission) -> bool:
    """Whether a rollback keeps a machine that it was going to destroy.

    That is so if the machine still takes traffic because a restored machine of its lane has failed. A group that had no
    machine in the region may have replaced another one, so there a failure in any group counts.
    """
    is_serving = any(isinstance(step, Cordon) for step in track.steps)
    is_to_go = plan.strategy == "undo" and track.target is Target.GO
    lane, lost = track.machine.lane, admission.lost
    if not (is_to_go and is_serving and any(region == lane[0] for region, _ in lost)):
        return False
    return lane in lost or all(
        each.target is Target.GO for each in (*plan.tracks, *plan.kept) if each.machine.lane == lane
    )


def needs_lease(track: Track, run: MachineRun, plan: Plan) -> str | None:
    """Return the id of the machine whose lease has to be held during a track, if any."""
    # 1. A launch changes only machines that it creates itself.
    # 2. A machine that this track creates is not known to other deployers yet.
    # 3. The host is lost: it cannot grant a lease, and nothing else can change the machine.
    if plan.group is None or track.machine_id is None or not (run.machine and run.machine.host_is_ok):
        return None
    return track.machine_id if any(isinstance(step, LEASED) for step in track.steps) else None


def to_recheck(runs: Runs, spec: DeploySpec) -> list[MachineRun]:
    """Return the machines that were changed and then verified; they must still be up before another one begins."""
    done = (run for run in runs.values() if run.ready_after is not None and run.taken and run.error is None)
    up = (run for run in done if run.target is Target.SERVE and run.machine and run.phase is not Phase.DESTROYED)
    return [run for run in up if spec.goal_of(run.config) is not None]


def staying(runs: Runs, lane: LaneKey) -> list[MachineRun]:
    """Return the machines of a lane that keep serving while others are retired or uncordoned."""
    mine = (run for run in runs.values() if run.desired.lane == lane and run.target is Target.SERVE)
    return [run for run in mine if run.machine]


def unlisted(runs: Runs) -> dict[str, MachineRun]:
    """Return the runs whose create failed because of a machine that no list had shown, by the id of that machine."""
    return {run.error.machine.id: run for run in runs.values() if isinstance(run.error, Unlisted)}


def may_plan_anew(runs: Runs, spec: DeploySpec) -> bool:
    """Whether to make another plan that includes the machines that no list had shown."""
    # Not if one of these applies:
    # 1. All machines were listed.
    # 2. Another machine has failed, or is in doubt: that is reported.
    # 3. The release or seed command would run a second time.
    # 4. A rollback would need the state before the first change, and a change has been made already.
    found = unlisted(runs).values()
    is_certain = not any(run.in_doubt or (run.error and run not in found) for run in runs.values())
    is_released = any(run.target.command and run.phase is not None for run in runs.values())
    has_changed = any(run.taken and run.machine for run in runs.values())
    return bool(found) and is_certain and not is_released and not (has_changed and spec.rolls_back)


def made_here(runs: Runs) -> list[MachineRun]:
    """Return the runs whose machines or volumes this plan has created; rolling back a launch destroys these."""
    return [run for run in runs.values() if run.made_volumes or (run.machine and not run.adopted)]
