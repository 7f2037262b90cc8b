"""Plans and events as short texts, which the lines and the live rows share; pure."""

from flyasync.cli.deploy.plan_progress import PlanProgress
from flyasync.deploy.plan.duration import Estimate
from flyasync.deploy.plan.plan import Plan
from flyasync.deploy.reporting.events import Progress
from flyasync.deploy.reporting.phase import Phase


def plan_headline(plan: Plan) -> str:
    """Return in one line what will be done, and how long it will take."""
    # The plan of a strategy has its own headline. A launch consists of creates, so its regions are named instead.
    if plan.strategy is not None:
        takes = f"; takes {plan.estimate}" if plan.estimate else ""
        return f"{str(plan).partition(chr(10))[0]}{takes}"
    there = [(lane.region, track) for lane in plan.lanes for track in lane.tracks if not track.target.command]
    regions = ", ".join(dict.fromkeys(region for region, _ in there))
    existing = len(there) - plan.creates
    adopted = f", adopt {existing}" if existing else ""
    first = "".join(f"run the {command}, " for command in plan.commands)
    return f"{plan.app}: launch {plan.launch}, {first}create {plan.creates} of {plan.image}{adopted} in {regions}"


def time_left(remaining: Estimate | None) -> str:
    """Return the time left; an empty text if it is unknown or zero."""
    # Less than a second is not shown, as the text would change with each refresh.
    if remaining is None or not (remaining.likely or remaining.least >= 1):
        return ""
    return f"{remaining} left"


def region_text(event: Progress, arrow: str) -> str:
    """Return the desired region, and the actual one if it is different."""
    return event.asked if event.region == event.asked else f"{event.asked}{arrow}{event.region}"


def event_text(event: Progress, progress: PlanProgress) -> str:
    """Return the text of an event: the phase, the id of the machine, and the reason."""
    phase = phase_text(event.phase, is_retired=progress.retires(event.name))
    text = f"{phase} {event.machine_id}" if event.machine_id else phase
    if not event.detail:
        return text
    # What a create is queued behind continues the phase; any other detail is a reason.
    between = " " if event.phase is Phase.QUEUED else ": "
    return f"{text}{between}{' '.join(event.detail.split())}"


def phase_text(phase: Phase, *, is_retired: bool) -> str:
    """Return the word for a phase; the destroy of a machine that is no longer desired is called retired."""
    if phase is Phase.DESTROYED and is_retired:
        return "retired"
    # `settled` is the API's word for any state that lasts; here it is a machine that stopped again.
    return "resting" if phase is Phase.SETTLED else phase.value
