"""`flyasync bulk --web`: the live page of a run over many apps, as a display beside that of the terminal."""

from collections import deque
from collections.abc import Iterable
from functools import partial
from typing import TYPE_CHECKING

from attrs import Factory, define

from flyasync.cli.bulk.lines import RunClock
from flyasync.cli.bulk.results import AppResult, BulkProgress
from flyasync.cli.bulk.summary import BulkInvocation, BulkSummary, headline, status_word
from flyasync.deploy.builder import DeployBuilder
from flyasync.deploy.reporting.events import Event, Planned, Progress
from flyasync.deploy.reporting.page_events import ended_event, event_in_app, without_machines
from flyasync.deploy.reporting.timeline_replay import Json
from flyasync.deploy.reporting.wording import in_command_terms

if TYPE_CHECKING:
    from flyasync.web.event_feed import EventFeed

DRAWN = 300
"""How many machines of ended apps are drawn one by one; those that ended earlier are counted in their regions."""

REMOTE = (
    "The deploys run on the workers of {executor}, whose events, requests and rate limits are not visible from here. "
    "The machines of an app are shown when its report has come."
)


@define
class BulkPage:
    """Adds the state of each app to a feed, and the machines of those in progress or just ended.

    `executor` is the address of a cluster whose workers deploy, None for this process.
    """

    feed: "EventFeed"
    executor: str | None
    _progress: BulkProgress
    _clock: RunClock = Factory(RunClock)
    _drawn: deque[Json] = Factory(deque)
    _machines: int = 0

    def begin(self, called: BulkInvocation, apps: Iterable[str], remaining: Iterable[str]) -> None:
        """Show all apps of the file, and which of them were done before."""
        to_do = frozenset(remaining)
        notice = REMOTE.format(executor=self.executor) if self.executor else None
        names = [*apps]
        kept = [app for app in names if app not in to_do]
        run = {"source": called.source, "launch": called.launch, "at_once": self._progress.at_once, "notice": notice}
        self.feed.add({"event": "bulk", **run, "apps": names, "kept": kept})

    def observed(self, app: str, builder: DeployBuilder) -> DeployBuilder:
        """Show the start of an app; its events are shown too if it is deployed in this process."""
        self.feed.add({"event": "begun", "app": app}, app)
        return builder if self.executor else builder.on_event(partial(self._show_event, app))

    def show(self, result: AppResult) -> None:
        """Show the result of an app, and replace the events of the oldest ones by counts."""
        ended = ended_event(result.report, ok=result.ok, why=result.why)
        self.feed.add({**ended, "left": self._progress.seconds_left(self._clock.seconds())}, result.app)
        self._drawn.append({**ended, "at": self.feed.now})
        self._machines += len(ended["machines"])
        while self._machines > DRAWN and len(self._drawn) > 1:
            oldest = self._drawn.popleft()
            self._machines -= len(oldest["machines"])
            self.feed.replace(oldest["app"], without_machines(oldest))

    def finish(self, summary: BulkSummary) -> None:
        """Show the end of the run."""
        end = {"status": status_word(summary), "summary": headline(summary), "machines": [], "rollback": []}
        self.feed.add({"event": "finished", **end})

    def _show_event(self, app: str, event: Event) -> None:
        match event:
            case Planned() | Progress():
                self.feed.add_later(lambda: event_in_app(app, in_command_terms(event)), app)
            case _:  # its result is shown with its row
                return
