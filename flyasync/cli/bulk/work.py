"""What there is to do in a run over many apps, and what has come of it."""

from collections import Counter
from collections.abc import Iterator

from attrs import Factory, define, frozen

from flyasync.cli.bulk.journal import Journal, Story, fingerprint
from flyasync.cli.bulk.order import BulkOrder
from flyasync.cli.bulk.summary import Outlook, Run, Summary
from flyasync.cli.bulk.tally import Ended, Some, Tally
from flyasync.cli.deploy.create_app import AppMaking
from flyasync.deploy.builder import DeployBuilder
from flyasync.deploy.estimate import CreateRate, estimate, estimate_many
from flyasync.deploy.plan.fleet import Fleet
from flyasync.deploy.plan.spec import DeploySpec
from flyasync.deploy.plan.strategies.stages import plan
from flyasync.deploy.timings import Timings


@frozen
class Remaining:
    """The apps of an order that are not done yet, in their order, and which of their rows have changed."""

    apps: tuple[str, ...]
    changed: Some

    @classmethod
    def of(cls, order: BulkOrder, story: Story) -> "Remaining":
        """Leave out what has come to what its row says."""
        apps, changed = [], Some()
        for app, row in order.rows.items():
            if app in story.apps:
                wanted = order.builders.fingerprint(row, story.key)
                if story.is_done(app, wanted):
                    continue
                if story.has_changed(app, wanted):
                    changed.take(app)
            apps.append(app)
        return cls(tuple(apps), changed)


@define
class Work:
    """The run of an order: gives its apps one after the other, counts what becomes of them, and writes it down.

    `renamed` are those whose config is another than before, each with its launch, and `abandoned` the launches before,
    each with its app, whose machines stay as they are.
    """

    order: BulkOrder
    journal: Journal
    remaining: Remaining
    tally: Tally
    renamed: Some = Factory(Some)
    abandoned: Some = Factory(Some)

    @classmethod
    def of(cls, order: BulkOrder, journal: Journal) -> "Work":
        """Look into the journal for what is left to do."""
        remaining = Remaining.of(order, journal.story)
        total = len(order.rows)
        return cls(order, journal, remaining, Tally(total, order.at_once, kept=total - len(remaining.apps)))

    @property
    def run(self) -> Run:
        """Which run it is."""
        return run_of(self.order, self.journal.story.launch)

    def names(self) -> Iterator[str]:
        """Give the apps one by one, as long as not too many have failed."""
        for app in self.remaining.apps:
            if self.order.max_failures is not None and self.tally.failed >= self.order.max_failures:
                return
            yield app

    def builder(self, app: str) -> DeployBuilder:
        """Begin an app: write down under which launch, and give its builder."""
        self.tally.begun += 1
        made = self.order.builders.of(self.order.rows[app])
        launch = self._launch(app, made.deployment())
        made = AppMaking.of(made, self.order.org) if self.order.org else made
        return made.with_launch(launch)

    def _launch(self, app: str, wanted: DeploySpec) -> str:
        story, adds = self.journal.story, wanted.strategy is None
        config = fingerprint(story, wanted.fingerprint)
        launch = story.launch_for(app, config, adds=adds)
        if story.last_launch(app) not in {None, launch}:
            self.renamed.take(f"{app} ({launch})")
        for left in story.left_by(app, launch, adds=adds):
            self.abandoned.take(f"{app} --launch {left}")
        row = self.order.builders.fingerprint(self.order.rows[app], story.key)
        self.journal.began(app, row=row, config=config, launch=launch, adds=adds)
        return launch

    def take(self, ended: Ended) -> Ended:
        """Count what became of an app, and write it down."""
        self.tally.take(ended)
        self.journal.ended(ended.app, ok=ended.ok, why=ended.why, seconds=ended.seconds)
        return ended

    def summary(self, seconds: float, *, is_cut: bool) -> Summary:
        """Say how the run has ended."""
        return Summary(
            run=self.run,
            tally=self.tally,
            seconds=seconds,
            is_cut=is_cut,
            renamed=self.renamed,
            abandoned=self.abandoned,
        )


def run_of(order: BulkOrder, launch: str) -> Run:
    """Say which run it is."""
    return Run(
        source=order.source,
        launch=launch,
        journal=str(order.journal) if order.journal else None,
        is_local=order.rehearsal is not None,
    )


# A look at what would be done


@frozen
class Prospect:
    """What a row comes to, whatever its app: machines by region, the strategy, and how long it takes at least."""

    regions: Counter[str]
    strategy: str
    seconds: float

    @classmethod
    def of(cls, builder: DeployBuilder, at: CreateRate) -> "Prospect":
        """Look at a deploy to an app with no machine."""
        wanted = builder.deployment()
        strategy = wanted.strategy.name if wanted.strategy else "none"
        takes = estimate(plan(wanted, Fleet(wanted.app, ())), at, Timings())  # no app is asked, so no boots are known
        return cls(Counter(dict(wanted.counts)), strategy, takes.least)


def outlook(order: BulkOrder, story: Story | None, at: CreateRate) -> Outlook:
    """Say what a run would do; machines are taken for not there."""
    remaining = Remaining.of(order, story or Story(launch=""))
    regions: Counter[str] = Counter()
    strategies: Counter[str] = Counter()
    prospects: dict[str, Prospect] = {}
    seconds = []
    for app in remaining.apps:
        base = order.builders.base(order.rows[app])
        prospect = prospects.get(base.text) or prospects.setdefault(base.text, Prospect.of(base.builder, at))
        regions += prospect.regions
        strategies[prospect.strategy] += 1
        seconds.append(prospect.seconds)
    making = len(seconds) if order.org else 0.0  # one a second
    return Outlook(
        rows=len(order.rows),
        kept=len(order.rows) - len(remaining.apps),
        changed=remaining.changed.count,
        machines=regions.total(),
        regions=regions,
        strategies=strategies,
        seconds=max(making, estimate_many(seconds, order.at_once)),
        makes_apps_in=order.org,
    )
