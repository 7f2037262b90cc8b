"""The journal of a deploy: one JSON line for each decision and each step. `resume` reads it."""

import asyncio
import json
from collections.abc import Iterable, Mapping
from contextlib import suppress
from typing import Any, ClassVar, TextIO

from flyasync.deploy.plan.plan import Decision, Plan, Step, Track
from flyasync.deploy.plan.spec import DeploySpec
from flyasync.deploy.reporting.fleet_record import recorded
from flyasync.deploy.reporting.journal_file import open_journal, unwritable
from flyasync.deploy.reporting.redacted_lines import RedactedLines
from flyasync.deploy.reporting.report import DeployReport
from flyasync.deploy.reporting.resume import MachineBefore
from flyasync.deploy.reporting.run_state import MachineRun
from flyasync.deploy.reporting.spec_json import write_spec
from flyasync.models.json.codec import unstructure
from flyasync.models.machine import Machine

_OPENING = b'{"what": "'


class Journal:
    """A journal that is not kept: it discards every line."""

    is_kept: ClassVar[bool] = False

    def planned(self, spec: DeploySpec, plan: Plan) -> None:
        """Record the spec and the plan."""

    def undoing(self, plan: Plan) -> None:
        """Record the plan of the rollback."""

    def began(self, track: Track, run: MachineRun) -> None:
        """Record that a machine begins its steps."""

    def stepped(self, run: MachineRun, step: Step) -> None:
        """Record that a machine has completed one step."""

    def ended(self, run: MachineRun) -> None:
        """Record the last phase of a machine, and its error if there is one."""

    def paused(self, machines: Iterable[Machine]) -> None:
        """Record that the deploy has paused after a wave, and the machines that it is about."""

    def finished(self, report: DeployReport) -> None:
        """Record the result of the deploy."""

    def close(self) -> None:
        """Close the journal; later calls record nothing."""


class JournalFile(Journal):
    """A journal in a file that only its owner can read; lines are appended to the existing ones.

    Each line is passed to the operating system before the deploy continues. `api` is the URL of the API that the
    deploy uses. No line contains a value that is redacted from the spec, or a password of a URL.

    Raises InvalidInput if the file cannot be written (also if the disk is full), if other users can read it, if it is
    not a journal, if another deploy is writing it, or if the plan cannot be written. If the disk fails later, the
    journal ends and the deploy continues: the event loop's exception handler is called.
    """

    is_kept = True

    def __init__(self, path: str, api: str) -> None:
        self._path = path
        self._api = api
        self._loop = asyncio.get_running_loop()
        self._start = self._loop.time()
        self._lines = RedactedLines()
        self._file: TextIO | None = open_journal(path, _OPENING)

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self._path}{'' if self._file else ', closed'}>"

    def planned(self, spec: DeploySpec, plan: Plan) -> None:
        """Record the spec and the plan."""
        public, redacted = write_spec(spec)
        self._lines = RedactedLines.of(redacted)  # no other line may contain a redacted value
        before = Decision(spec=spec, plan=plan).machines
        facts = {
            "api": self._api,
            "fingerprint": spec.fingerprint_of_all,
            "deployment": public,
            "withheld": list(redacted),
            "before": [unstructure(MachineBefore.of(machine)) for machine in before],
            "plan": self._lines.of_texts(str(plan).splitlines()),
        }
        self._write("planned", facts, is_needed=True)

    def undoing(self, plan: Plan) -> None:
        """Record the plan of the rollback."""
        lines = self._lines.of_texts(str(plan).splitlines())
        self._write("undoing", {"api": self._api, "launch": plan.launch, "plan": lines})

    def began(self, track: Track, run: MachineRun) -> None:
        """Record that a machine begins its steps."""
        self._write("began", {**_machine(run), "steps": self._lines.of_texts(str(step) for step in track.steps)})

    def stepped(self, run: MachineRun, step: Step) -> None:
        """Record that a machine has completed one step."""
        self._write("stepped", {**_machine(run), "step": type(step).__name__})

    def ended(self, run: MachineRun) -> None:
        """Record the last phase of a machine, and its error if there is one."""
        (error,) = self._lines.of_texts([str(run.error)]) if run.error else (None,)
        self._write("ended", {**_machine(run), "phase": run.phase, "error": error})

    def paused(self, machines: Iterable[Machine]) -> None:
        """Record that the deploy has paused after a wave, and the machines that it is about."""
        self._write("paused", {"machines": unstructure(recorded(machines))})

    def finished(self, report: DeployReport) -> None:
        """Record the result of the deploy."""
        facts = {
            "ok": report.ok,
            "cancelled": report.cancelled,
            "seconds": report.seconds,
            "strategy": report.strategy,
            "machines": {
                each.name: each.result for region in report.regions for each in (*region.machines, *region.retired)
            },
        }
        self._write("finished", facts)

    def close(self) -> None:
        """Close the journal; later calls record nothing."""
        file, self._file = self._file, None
        if file is not None:
            with suppress(OSError):
                file.close()

    def _write(self, what: str, facts: Mapping[str, Any], *, is_needed: bool = False) -> None:
        """Write a line; raises InvalidInput if it cannot be written and a later deploy needs it to continue."""
        if self._file is None:
            return
        at = round(self._loop.time() - self._start, 3)
        try:
            self._file.write(json.dumps({"what": what, "at": at, **facts}) + "\n")
            self._file.flush()
        except OSError as error:
            self.close()
            if is_needed:
                raise unwritable(self._path, error) from error
            self._loop.call_exception_handler(
                {"message": f"the journal {self._path} ends here and does not contain later steps", "exception": error}
            )


def _machine(run: MachineRun) -> dict[str, Any]:
    """Return the machine that a line is about; `made` is whether this deploy created it."""
    machine_id = run.machine.id if run.machine else None
    made = machine_id is not None and not run.adopted
    return {"name": run.desired.name, "aim": run.target, "machine": machine_id, "made": made}
