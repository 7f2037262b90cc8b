"""What a deploy promises, shown on the emulator in virtual time: `python -m benchmarks.deploy [--quick]`.

- Time: 60 machines of one app in 30 regions against the floor that the published limits set, and the 429s.
- Fallback: five regions, two of them full, with each kind of fallback.
- Exactly once: seeded runs with 30 % of the create answers lost; how many machines were wanted, there, and extra.
"""

from benchmarks.shared.options import options
from benchmarks.shared.served import world
from flyasync import DeployBuilder, Fault
from flyasync.emulator.core.regions import CODES
from flyasync.testing import run_virtual

BOOT = 2.0
JITTER = (0.02, 0.25)


async def time_to_run(machines: int, regions: int) -> None:
    floor = machines - 3 + BOOT  # three creates at once, one a second from then on, and the last machine boots
    base = DeployBuilder("web").to_regions(*CODES[:regions]).count(machines // regions).with_image("nginx")
    print(f"{machines} machines, {regions} regions, one app; floor by the published limits: {floor:.0f} s")
    for latency in ((0.0, 0.0), JITTER):
        async with world(retired=(), seed=3, boot=(BOOT, BOOT), latency=latency) as (emulator, fly):
            report = await base.require("all").execute(fly)
        print(
            f"  latency {latency[0] * 1000:3.0f} to {latency[1] * 1000:3.0f} ms: "
            f"{len(report.running)} started in {report.seconds:.1f} s, "
            f"{report.seconds / floor:.3f} of the floor, {sum(emulator.refused_by_limit().values())} x 429"
        )


async def fall_back() -> None:
    base = DeployBuilder("web").to_regions("iad", "lhr", "nrt", "syd", "fra").with_image("nginx").with_launch("v1")
    for fallback in (("skip",), ("ewr", "ord"), ("nearest",)):
        async with world(retired=(), seed=1, capacity={"lhr": 0, "fra": 0}) as (_, fly):
            report = await base.fallback(*fallback).execute(fly)
        print(f"five regions, lhr and fra full, fallback {', '.join(fallback)}:")
        print("\n".join(f"  {line}" for line in str(report).splitlines()))


async def exactly_once(runs: int) -> None:
    lost = [
        Fault(does="lose_answer", action="createMachine", probability=0.15),
        Fault(does="cut_after", action="createMachine", probability=0.15 / 0.85),
    ]
    base = DeployBuilder("web").to_regions("iad", "lhr", "nrt").with_image("nginx").require("all")
    wanted = there = unanswered = 0
    for seed in range(runs):
        async with world(retired=(), seed=seed, faults=lost) as (emulator, fly):
            report = await base.execute(fly)
            machines = {machine.id for machine in await fly.machines.list("web", include_deleted=True)}
            assert report.ok, f"seed {seed}: {report}"
            assert {machine.id for machine in report.running} == machines, f"seed {seed}"
        wanted, there = wanted + len(report.machines), there + len(machines)
        unanswered += sum(map(emulator.faults.hits, lost))
    print(
        f"{runs} runs, {unanswered / wanted:.0%} of the create responses lost: "
        f"{wanted} desired, {there} found, {there - wanted} extra"
    )


async def main(*, quick: bool) -> None:
    await time_to_run(12 if quick else 60, 6 if quick else 30)
    await fall_back()
    await exactly_once(10 if quick else 1000)


if __name__ == "__main__":
    run_virtual(main(**vars(options(__doc__, quick=False))))
