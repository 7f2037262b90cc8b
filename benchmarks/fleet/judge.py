"""What the emulator holds beside what was asked for: many apps, no two alike; whoever deployed is not asked."""

import csv
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path

from attrs import Factory, frozen

from benchmarks.shared.served import requests
from flyasync import DeployBuilder, Emulator
from flyasync.api.machines.create_once import LAUNCH
from flyasync.emulator.core.records import MachineRecord
from flyasync.models.image import without_digest

VARIABLE = "TENANT"
ONE_DEPLOY = 2
"""How often one deploy lists its app: before it makes machines, and after."""


@frozen
class Asked:
    """What one app shall be: a machine in each region, with an image and an environment of its own."""

    app: str
    image: str
    tenant: str
    regions: tuple[str, ...]

    def builder(self, base: DeployBuilder) -> DeployBuilder:
        return base.for_app(self.app).with_image(self.image).with_env({VARIABLE: self.tenant})


def asked(number: int, regions: Sequence[str]) -> Asked:
    """Ask for the app of this number."""
    return Asked(
        f"shop-{number:06}", f"registry.fly.io/shop-{number % 7}:v{number}", f"tenant {number}", tuple(regions)
    )


def base(regions: Sequence[str], launch: str) -> DeployBuilder:
    """Give what all apps have in common."""
    return DeployBuilder("base").to_regions(*regions).with_launch(launch).require("all")


def orders(count: int, regions: Sequence[str]) -> list[Asked]:
    return [asked(number, regions) for number in range(count)]


def write(rows: Sequence[Asked], path: Path) -> None:
    """Write the file that `flyasync bulk` reads."""
    with path.open("w", newline="") as file:
        table = csv.writer(file)
        table.writerow(["app", "image", "regions", f"env.{VARIABLE}"])
        table.writerows([each.app, each.image, ",".join(each.regions), each.tenant] for each in rows)


@frozen(kw_only=True)
class Held:
    """A machine as the emulator has it: what counts of it."""

    app: str
    name: str
    region: str
    state: str
    image: str
    tenant: str | None
    launch: str | None

    @classmethod
    def of(cls, machine: MachineRecord) -> "Held":
        config = machine.config
        return cls(
            app=machine.app,
            name=machine.name,
            region=machine.region,
            state=machine.state,
            image=without_digest(config["image"]),
            tenant=(config.get("env") or {}).get(VARIABLE),
            launch=(config.get("metadata") or {}).get(LAUNCH),
        )

    def is_as(self, asked: Asked, launch: str) -> bool:
        """Tell whether it is one of those that were asked for, and runs."""
        desired = (asked.app, asked.image, asked.tenant, launch, "started")
        return (self.app, self.image, self.tenant, self.launch, self.state) == desired and self.region in asked.regions


@frozen(kw_only=True)
class Holdings:
    """All machines that an emulator holds, and what it was asked; `lists` counts how often each app was listed."""

    machines: Sequence[Held]
    requests: Mapping[str, int] = Factory(dict)
    lists: Mapping[str, int] = Factory(dict)
    limited: int = 0

    @classmethod
    def of(cls, emulator: Emulator) -> "Holdings":
        return cls(
            machines=[Held.of(each) for each in emulator.world.machines.values() if not each.is_destroyed],
            requests=requests(emulator),
            lists={app: count for (action, app), count in emulator.counts().items() if action == "listMachines"},
            limited=sum(emulator.refused_by_limit().values()),
        )


@frozen(kw_only=True)
class Verdict:
    """How what is there compares with what was asked for.

    `missing` are places for which no machine runs that is as asked. `extra` are there besides another one of the same
    app, region and launch, or of the same app and name; `orphans` belong to an app, a region or a launch that nobody
    asked for. `wrong` says of each app that is not exactly as asked what it holds. `begun_again` counts the apps that
    were listed more often than one deploy lists them.
    """

    exact: int
    wanted: int
    there: int
    missing: int
    extra: int
    orphans: int
    limited: int
    begun_again: int
    wrong: Mapping[str, str]

    @property
    def is_flawless(self) -> bool:
        """Whether all is exactly as it was asked for, and no limit was overstepped on the way."""
        return not (self.wrong or self.missing or self.extra or self.orphans or self.limited)


def judge(asked: Sequence[Asked], launch: str, holdings: Holdings) -> Verdict:
    """Compare what an emulator holds with what was asked for under one launch."""
    machines, by_app = holdings.machines, dict[str, list[Held]]()
    for machine in machines:
        by_app.setdefault(machine.app, []).append(machine)
    of = {each: by_app.get(each.app, []) for each in asked}
    places = {(each.app, region) for each in asked for region in each.regions}
    running = {(each.app, one.region) for each, its in of.items() for one in its if one.is_as(each, launch)}
    wrong = {
        each.app: "; ".join(f"{one.name} {one.region} {one.state} {one.image} {one.tenant}" for one in its) or "nothing"
        for each, its in of.items()
        if not is_exact(each, launch, its)
    }
    by_place = Counter((each.app, each.region, each.launch) for each in machines)
    by_name = Counter((each.app, each.name) for each in machines)
    return Verdict(
        exact=len(asked) - len(wrong),
        wanted=len(places),
        there=len(machines),
        missing=len(places - running),
        extra=len(machines) - min(len(by_place), len(by_name)),
        orphans=sum(each.launch != launch or (each.app, each.region) not in places for each in machines),
        limited=holdings.limited,
        begun_again=sum(count > ONE_DEPLOY for count in holdings.lists.values()),
        wrong=wrong,
    )


def is_exact(asked: Asked, launch: str, machines: Sequence[Held]) -> bool:
    """Tell whether these are all that was asked for one app: a machine in each region, and nothing else."""
    regions = sorted(each.region for each in machines)
    return regions == sorted(asked.regions) and all(each.is_as(asked, launch) for each in machines)
