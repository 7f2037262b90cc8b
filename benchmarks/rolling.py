"""A rolling update of 300 machines in 30 regions meets one failing check: `python -m benchmarks.rolling [--quick]`.

What was running must be whole, what had not begun untouched, and undoing it must bring the first state back.
"""

import asyncio
import sys
from collections.abc import Mapping
from typing import Any

from benchmarks.shared.served import world
from flyasync import Check, DeployBuilder, DeployReport, Emulator, Fault
from flyasync.emulator.core.records import MachineRecord
from flyasync.emulator.core.regions import CODES
from flyasync.emulator.world.machines import serves
from flyasync.models.image import without_digest
from flyasync.testing import run_virtual

OURS = {"flyasync_creation"}


async def main(machines: int, regions: int) -> int:
    """Fly it once, print what came of it, and give the number of machines that are not as they should be."""
    base = (
        DeployBuilder("web")
        .to_regions(*CODES[:regions])
        .count(machines // regions)
        .with_image("shop:1")
        .with_service(internal_port=8080)
        .with_check("up", Check(type="tcp", port=8080, interval=10, timeout=2))
        .wait_for("healthy", timeout=60)
    )
    async with world(seed=1, latency=(0.02, 0.2), retired=()) as (emulator, fly):
        assert (await base.immediate().with_launch("v1").execute(fly)).ok
        before = _configs(emulator)
        print(f"{len(before)} machines in {regions} regions run v1")
        victim = f"app-{CODES[regions // 2]}-3"
        fault = Fault(does="checks_never_pass", name=victim, image="*:2*")
        emulator.faults.add(fault)
        rolling = base.with_image("shop:2").rolling(max_unavailable=1).wait_for("healthy", timeout=15)
        report = await rolling.with_launch("v2").execute(fly)
        wrong = _judge(emulator, before, victim, report)
        emulator.faults.clear()
        undone = await rolling.undo(fly)
        await asyncio.sleep(5)
        after = _configs(emulator)
        differing = [name for name in before.keys() | after.keys() if before.get(name) != after.get(name)]
        same = len(before) - len(differing)
        print(f"undone in {undone.seconds:.0f} s, ok: {undone.ok}; {same} of {len(before)} as at first")
        print(f"429s: {sum(emulator.refused_by_limit().values())}")
        return wrong + len(differing) + (not undone.ok)


def _judge(emulator: Emulator, before: Mapping[str, Any], victim: str, report: DeployReport) -> int:
    """Print what the update has left, and count what is neither whole nor untouched."""
    records = {each.name: each for each in emulator.world.machines.values() if not each.is_destroyed}
    updated = [each for each in records.values() if without_digest(each.config["image"]) == "shop:2"]
    untouched = [each for each in records.values() if before.get(each.name) == _config(each)]
    whole = [each for each in updated if serves(emulator.world, each)]
    print(
        f"rolling to v2, {victim} never passes its check: ok: {report.ok}, over after {report.seconds:.0f} s; "
        f"{len(updated)} updated, of them {len(whole)} serve; {len(untouched)} untouched; {len(records)} in all"
    )
    odd = [each.name for each in updated if each not in whole and each.name != victim]
    missing = len(updated) + len(untouched) != len(before) or victim not in {each.name for each in updated}
    return len(odd) + report.ok + missing


def _configs(emulator: Emulator) -> dict[str, Any]:
    return {each.name: _config(each) for each in emulator.world.machines.values() if not each.is_destroyed}


def _config(machine: MachineRecord) -> tuple[str, str, dict[str, Any], bool]:
    metadata = {key: value for key, value in machine.config["metadata"].items() if key not in OURS}
    return machine.id, machine.state, {**machine.config, "metadata": metadata}, machine.is_cordoned


if __name__ == "__main__":
    sys.exit(bool(run_virtual(main(30, 6) if "--quick" in sys.argv else main(300, 30))))
