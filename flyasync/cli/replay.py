"""`flyasync replay`: run a recorded deploy again, on an emulator that answers as the recording does."""

import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import click

from flyasync.cli.shared.client import in_json

if TYPE_CHECKING:
    from flyasync.cli.deploy.replay_run import Replay, Replayed
    from flyasync.deploy.builder import DeployBuilder

_STRATEGIES = ("rolling", "canary", "bluegreen", "immediate", "recreate")
_SHOWN = 20  # differences of the reports

EPILOG = """\b
Examples:
  # record a deploy; run it again
  flyasync deploy web --image nginx --region iad,lhr --local --record d.jsonl
  flyasync replay d.jsonl
\b
  # what another strategy would have done, as JSON
  flyasync replay d.jsonl --strategy immediate --json

A replay needs no token and changes nothing: an emulator in this process returns the recorded responses at the recorded
times, with the delays, refusals and lost responses, and the clock skips all waits. The report is the same, except for
times and ids. Values that may be secret are placeholders.

If the deploy sends another request than the recorded one, for example because of --strategy or a newer flyasync, the
replay notes where, and continues on the world that the recording shows at that time. Machines then boot, fail and pass
their checks as recorded, and each further request is delayed, refused or lost like the recorded one of the same kind
for the same machine.

\b
Exit status:
  0    the report is the same, or the error that was raised instead
  2    the file is not a recording, or has no such deploy
  10   the report differs, or the recording has none
With --strategy or --image: that of flyasync deploy.
"""


@click.command("replay", epilog=EPILOG)
@click.argument("file", type=click.Path(exists=True, dir_okay=False))
@click.option("--app", metavar="APP", help="The deploy to replay, if the file has several.")
@click.option("--launch", metavar="ID", help="The launch to replay, if the file has several.")
@click.option("--strategy", type=click.Choice(_STRATEGIES), help="Deploy by another strategy, with its defaults.")
@click.option("--image", metavar="REF", help="Deploy another image.")
@in_json
def command(
    *, file: str, app: str | None, launch: str | None, strategy: str | None, image: str | None, as_json: bool
) -> None:
    """Run a recorded deploy again on an emulator, in virtual time, and compare the reports."""
    from flyasync.cli.deploy.replay_run import Replay
    from flyasync.cli.shared.exit_codes import CHANGES, FAILED, OK
    from flyasync.cli.shared.output import Message, note, show
    from flyasync.testing.virtual_time import run_virtual

    replay = Replay.of(file, app=app, launch=launch)
    for warning in _warnings(replay):
        note(f"warning: {warning}")
    began = time.perf_counter()
    replayed = run_virtual(replay.run(_change(strategy, image)))
    if strategy or image:
        code = replayed.report.exit_code if replayed.report else FAILED
    else:
        code = OK if replayed.differences == [] else CHANGES
    text = "\n".join(_text(replay, replayed, seconds=time.perf_counter() - began))
    raise click.exceptions.Exit(show(Message(text, _as_json(replay, replayed), code), as_json=as_json))


def _change(strategy: str | None, image: str | None) -> "Callable[[DeployBuilder], DeployBuilder]":
    def change(builder: "DeployBuilder") -> "DeployBuilder":
        builder = getattr(builder, strategy)() if strategy else builder
        return builder.with_image(image) if image else builder

    return change


def _warnings(replay: "Replay") -> list[str]:
    """Return why a replay may differ from the start."""
    found = []
    if source := replay.deploy.line.get("continues"):
        found.append(f"the deploy continued from a {source}, which is not part of the recording")
    if replay.recording.ends == "bound":
        found.append("the recording reached its bound, so it can be followed up to that point only")
    elif replay.recording.ends is None:
        found.append("the recording has no end, because the command was killed or the file was cut")
    return found


def _text(replay: "Replay", replayed: "Replayed", *, seconds: float) -> list[str]:
    from flyasync.deploy.reporting.wording import in_command_terms

    raised = (
        f"the deploy raised: {_error(replayed)}" if replayed.error else "the deploy was cut short by a cancellation"
    )
    lines = [str(in_command_terms(replayed.report)) if replayed.report else raised]
    lines.append(
        f"replay of {replay.deploy.name}, recorded with flyasync {replay.recording.header['flyasync']}: "
        f"{replayed.played} of {replayed.recorded} exchanges as recorded, in {seconds:.1f} s"
    )
    if replayed.divergence:
        lines.append(f"the deploy left the recording {replayed.divergence}")
    if replayed.differences == []:
        subject = "report" if replayed.report else "error" if replayed.error else "cancellation"
        lines.append(f"the {subject} is the same as the recorded one, except for times and ids")
    elif replayed.differences is None:
        lines.append("there are no two reports to compare")
    else:
        lines.append(f"the {'report' if replayed.report else 'end'} differs from the recorded one:")
        lines += [f"  {each}" for each in replayed.differences[:_SHOWN]]
        left = len(replayed.differences) - _SHOWN
        lines += [f"  and {left} more"] if left > 0 else []
    return lines


def _as_json(replay: "Replay", replayed: "Replayed") -> dict[str, Any]:
    from attrs import asdict

    from flyasync.deploy.reporting.wording import in_command_terms

    return {
        "app": replay.deploy.line["app"],
        "launch": replay.deploy.line["launch"],
        "recorded_with": replay.recording.header["flyasync"],
        "same": None if replayed.differences is None else not replayed.differences,
        "played": replayed.played,
        "recorded": replayed.recorded,
        "divergence": asdict(replayed.divergence) if replayed.divergence else None,
        "differences": replayed.differences,
        "error": _error(replayed),
        "report": in_command_terms(replayed.report).to_dict() if replayed.report else None,
    }


def _error(replayed: "Replayed") -> str | None:
    return replayed.error.for_command if replayed.error else None
