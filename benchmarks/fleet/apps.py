"""Many apps, no two alike, and how what the emulator holds compares with them; whoever deployed is not asked."""

import csv
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Self

from attrs import field, frozen

from flyasync import DeployBuilder, Emulator
from flyasync.api.machines.create_once import LAUNCH
from flyasync.emulator.core.records import MachineRecord
from flyasync.models.image import without_digest

VARIABLE = "TENANT"
ONE_DEPLOY = 2
"""How often one deploy lists its app: before it makes machines, and after."""


@frozen
class Held:
    """What counts of a machine; two of one app and region, with the same of the rest, are equal."""

    app: str
    region: str
    image: str
    tenant: str | None
    launch: str | None
    state: str = "started"
    name: str = field(default="", eq=False)

    @classmethod
    def of(cls, machine: MachineRecord) -> Self:
        config = machine.config
        tenant, launch = (config.get("env") or {}).get(VARIABLE), (config.get("metadata") or {}).get(LAUNCH)
        image = without_digest(config["image"])
        return cls(machine.app, machine.region, image, tenant, launch, machine.state, machine.name)


@frozen
class Asked:
    """What one app shall be: a machine in each region, with an image and an environment of its own."""

    app: str
    image: str
    tenant: str
    regions: tuple[str, ...]

    def builder(self, base: DeployBuilder) -> DeployBuilder:
        return base.for_app(self.app).with_image(self.image).with_env({VARIABLE: self.tenant})

    def machines(self, launch: str) -> list[Held]:
        return [Held(self.app, region, self.image, self.tenant, launch) for region in self.regions]

    def is_exactly(self, machines: Iterable[Held], launch: str) -> bool:
        """Whether these are all that was asked for, and nothing else."""
        return Counter(machines) == Counter(self.machines(launch))


def asked(number: int, regions: Sequence[str]) -> Asked:
    image = f"registry.fly.io/shop-{number % 7}:v{number}"
    return Asked(f"shop-{number:06}", image, f"tenant {number}", tuple(regions))


def orders(count: int, regions: Sequence[str]) -> list[Asked]:
    return [asked(number, regions) for number in range(count)]


def base(regions: Sequence[str], launch: str) -> DeployBuilder:
    """Return what all apps have in common."""
    return DeployBuilder("base").to_regions(*regions).with_launch(launch).require("all")


def write(rows: Sequence[Asked], path: Path) -> None:
    """Write the file that `flyasync bulk` reads."""
    with path.open("w", newline="") as file:
        table = csv.writer(file)
        table.writerow(["app", "image", "regions", f"env.{VARIABLE}"])
        table.writerows([each.app, each.image, ",".join(each.regions), each.tenant] for each in rows)


@frozen(kw_only=True)
class Check:
    """How what is there compares with what was asked for.

    `missing` are regions of apps for which no machine runs that is as asked. `extra` are there besides another one of
    the same app, region and launch, or of the same app and name; `orphans` belong to an app, a region or a launch that
    was not asked for. `wrong` has what each app holds that is not exactly as asked. `begun_again` counts the apps that
    were listed more often than one deploy lists them, and `limited` the 429s.
    """

    exact: int
    desired: int
    found: int
    missing: int
    extra: int
    orphans: int
    wrong: Mapping[str, str]
    limited: int
    begun_again: int

    @property
    def is_flawless(self) -> bool:
        return not (self.wrong or self.missing or self.extra or self.orphans or self.limited)


def check(
    asked: Sequence[Asked], launch: str, machines: Sequence[Held], lists: Iterable[int] = (), limited: int = 0
) -> Check:
    """Compare machines with what was asked for under one launch; `lists` is how often each app was listed."""
    by_app: defaultdict[str, list[Held]] = defaultdict(list)
    for machine in machines:
        by_app[machine.app].append(machine)
    desired = [machine for each in asked for machine in each.machines(launch)]
    wrong = {
        each.app: "; ".join(f"{one.name} {one.region} {one.state} {one.image} {one.tenant}" for one in by_app[each.app])
        or "nothing"
        for each in asked
        if not each.is_exactly(by_app[each.app], launch)
    }
    places = {(each.app, each.region) for each in desired}
    by_place = {(each.app, each.region, each.launch) for each in machines}
    by_name = {(each.app, each.name) for each in machines}
    return Check(
        exact=len(asked) - len(wrong),
        desired=len(desired),
        found=len(machines),
        missing=len({*desired} - {*machines}),
        extra=len(machines) - min(len(by_place), len(by_name)),
        orphans=sum(each.launch != launch or (each.app, each.region) not in places for each in machines),
        wrong=wrong,
        limited=limited,
        begun_again=sum(count > ONE_DEPLOY for count in lists),
    )


def checked(emulator: Emulator, asked: Sequence[Asked], launch: str) -> Check:
    """Compare all that an emulator holds."""
    machines = [Held.of(each) for each in emulator.world.machines.values() if not each.is_destroyed]
    lists = [count for (action, _), count in emulator.counts().items() if action == "listMachines"]
    return check(asked, launch, machines, lists, sum(emulator.refused_by_limit().values()))
