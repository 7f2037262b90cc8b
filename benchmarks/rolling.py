"""A rolling update of 300 machines in 30 regions meets one failing check: `python -m benchmarks.rolling [--quick]`.

What was running must be whole, what had not begun untouched, and undoing it must bring the first state back.
"""

import asyncio
import sys
from collections.abc import Mapping

from benchmarks.flight import ours
from benchmarks.parts.flight_fleets import NEW, OLD, alive, tag
from benchmarks.shared.options import options
from benchmarks.shared.served import world
from flyasync import DeployReport, Emulator, Fault
from flyasync.emulator.core.regions import CODES
from flyasync.emulator.world.machines import serves
from flyasync.testing import run_virtual


async def main(machines: int, regions: int) -> int:
    """Fly it once, print what came of it, and return the number of machines that are not as they should be."""
    base = ours().to_regions(*CODES[:regions]).count(machines // regions)
    async with world(seed=1, latency=(0.02, 0.2), retired=()) as (emulator, fly):
        first = base.with_image(OLD).wait_for("healthy", timeout=60).immediate()
        assert (await first.with_launch("v1").execute(fly)).ok
        before = _fleet(emulator)
        print(f"{len(before)} machines in {regions} regions run v1")
        victim = f"app-{CODES[regions // 2]}-3"
        emulator.faults.add(Fault(does="checks_never_pass", name=victim, image="*:2*"))
        rolling = base.with_image(NEW).rolling(max_unavailable=1).wait_for("healthy", timeout=15)
        report = await rolling.with_launch("v2").execute(fly)
        wrong = _wrong(emulator, before, victim, report)
        emulator.faults.clear()
        undone = await rolling.undo(fly)
        await asyncio.sleep(5)
        after = _fleet(emulator)
        differing = sum(before.get(name) != after.get(name) for name in before.keys() | after.keys())
        same = len(before) - differing
        print(f"undone in {undone.seconds:.0f} s, ok: {undone.ok}; {same} of {len(before)} as at first")
        print(f"429s: {sum(emulator.refused_by_limit().values())}")
        return wrong + differing + (not undone.ok)


def _wrong(emulator: Emulator, before: Mapping[str, object], victim: str, report: DeployReport) -> int:
    """Print what the update has left, and count what is neither whole nor untouched."""
    machines, after = alive(emulator), _fleet(emulator)
    updated = [each for each in machines if tag(each) == NEW]
    untouched = sum(before.get(name) == each for name, each in after.items())
    broken = {each.name for each in updated if not serves(emulator.world, each)}
    print(
        f"rolling to v2, {victim} never passes its check: ok: {report.ok}, over after {report.seconds:.0f} s; "
        f"{len(updated)} updated, of them {len(updated) - len(broken)} serve; {untouched} untouched; "
        f"{len(machines)} in all"
    )
    is_missing = len(updated) + untouched != len(before) or victim not in {each.name for each in updated}
    return len(broken - {victim}) + report.ok + is_missing


def _fleet(emulator: Emulator) -> dict[str, object]:
    """Return what each machine is, by name, but for the mark of its creation."""
    return {
        each.name: (
            each.id,
            each.state,
            each.is_cordoned,
            {**each.config, "metadata": {**each.config["metadata"], "flyasync_creation": ""}},
        )
        for each in alive(emulator)
    }


if __name__ == "__main__":
    size = (30, 6) if options(__doc__, quick=False).quick else (300, 30)
    sys.exit(bool(run_virtual(main(*size))))
