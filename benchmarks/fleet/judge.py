"""What the emulator holds beside what was asked for; whoever deployed is not asked."""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence

from attrs import Factory, frozen

from benchmarks.fleet.orders import VARIABLE, Asked
from flyasync import Emulator
from flyasync.api.machines.create_once import LAUNCH
from flyasync.emulator.core.records import MachineRecord
from flyasync.models.image import without_digest

ONE_DEPLOY = 2
"""How often one deploy lists its app: before it makes machines, and after."""


@frozen(kw_only=True)
class Held:
    """A machine as the emulator has it."""

    app: str
    name: str
    region: str
    state: str
    image: str
    tenant: str | None
    launch: str | None

    @classmethod
    def of(cls, machine: MachineRecord) -> "Held":
        """Look at what counts."""
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
        wanted = (asked.app, asked.image, asked.tenant, launch, "started")
        return (self.app, self.image, self.tenant, self.launch, self.state) == wanted and self.region in asked.regions


@frozen(kw_only=True)
class Holdings:
    """All machines that an emulator holds, and what it was asked; `lists` counts how often each app was listed."""

    machines: Sequence[Held]
    requests: Mapping[str, int] = Factory(dict)
    lists: Mapping[str, int] = Factory(dict)
    limited: int = 0

    @classmethod
    def of(cls, emulator: Emulator) -> "Holdings":
        """Look into an emulator."""
        counts = emulator.counts()
        requests: Counter[str] = Counter()
        for (action, _), count in counts.items():
            requests[action] += count
        return cls(
            machines=[Held.of(each) for each in emulator.world.machines.values() if not each.is_destroyed],
            requests=requests,
            lists={app: count for (action, app), count in counts.items() if action == "listMachines"},
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
    by_app: dict[str, list[Held]] = {}
    for machine in holdings.machines:
        by_app.setdefault(machine.app, []).append(machine)
    places = {(each.app, region) for each in asked for region in each.regions}
    running = {
        (each.app, machine.region)
        for each in asked
        for machine in by_app.get(each.app, ())
        if machine.is_as(each, launch)
    }
    wrong = dict(_wrong(asked, launch, by_app))
    return Verdict(
        exact=len(asked) - len(wrong),
        wanted=len(places),
        there=len(holdings.machines),
        missing=len(places - running),
        extra=_extra(holdings.machines),
        orphans=sum(each.launch != launch or (each.app, each.region) not in places for each in holdings.machines),
        limited=holdings.limited,
        begun_again=sum(count > ONE_DEPLOY for count in holdings.lists.values()),
        wrong=wrong,
    )


def is_exact(asked: Asked, launch: str, machines: Sequence[Held]) -> bool:
    """Tell whether these are all that was asked for one app: a machine in each region, and nothing else."""
    regions = sorted(each.region for each in machines)
    return regions == sorted(asked.regions) and all(each.is_as(asked, launch) for each in machines)


def _wrong(asked: Iterable[Asked], launch: str, by_app: Mapping[str, Sequence[Held]]) -> Iterator[tuple[str, str]]:
    for each in asked:
        machines = by_app.get(each.app, ())
        if not is_exact(each, launch, machines):
            told = (f"{held.name} {held.region} {held.state} {held.image} {held.tenant}" for held in machines)
            yield each.app, "; ".join(told) or "nothing"


def _extra(machines: Sequence[Held]) -> int:
    by_place = Counter((each.app, each.region, each.launch) for each in machines)
    by_name = Counter((each.app, each.name) for each in machines)
    return max(sum(count - 1 for count in counted.values()) for counted in (by_place, by_name))
