"""The journal of a deploy: what was decided and done, one JSON line each."""

import asyncio
import json
import os
import stat
import sys
from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any, ClassVar, TextIO

from flyasync.deploy.plan.fleet import group_of
from flyasync.deploy.plan.plan import Plan, Step, Track
from flyasync.deploy.plan.spec import DeploySpec
from flyasync.deploy.reporting.report import DeployReport
from flyasync.deploy.reporting.resume import RELEASE_COMMAND, Before, without_secrets
from flyasync.deploy.reporting.run_state import MachineRun
from flyasync.errors import InvalidInput
from flyasync.models.json.codec import unstructure
from flyasync.models.redaction import HIDDEN, without_passwords

if sys.platform != "win32":
    import fcntl

_OPENING = b'{"what": "'
_ROOM = 4096
_SHORTEST_SECRET = 8  # letters; a shorter one is in many a text by chance
_OTHERS = stat.S_IRWXG | stat.S_IRWXO


class Journal:
    """No journal at all."""

    is_kept: ClassVar[bool] = False

    def planned(self, spec: DeploySpec, plan: Plan) -> None:
        """Write down what is wanted, and what was decided."""

    def undoing(self, plan: Plan) -> None:
        """Write down how what was done is to be undone."""

    def began(self, track: Track, run: MachineRun) -> None:
        """Write down that the steps of a machine begin."""

    def stepped(self, run: MachineRun, step: Step) -> None:
        """Write down that one step of a machine is done."""

    def ended(self, run: MachineRun) -> None:
        """Write down what became of a machine."""

    def finished(self, report: DeployReport) -> None:
        """Write down how it ended."""

    def close(self) -> None:
        """Write no more."""


class JournalFile(Journal):
    """A journal in a file that its owner alone may read; what is there already stays, and is gone on from.

    Each line is with the operating system before what it tells of goes on. `api` is the URL of the API that the deploy
    goes to. No line repeats what is withheld from the deployment, nor a password in a URL. Raises InvalidInput for a
    file that cannot be written, for lack of room too, that others may read, that is no journal, or that another deploy
    is writing, and for a plan that cannot be written down. A disk that fails later ends the journal, not the deploy:
    the event loop's exception handler is told.
    """

    is_kept = True

    def __init__(self, path: str, api: str) -> None:
        self._path = path
        self._api = api
        self._loop = asyncio.get_running_loop()
        self._start = self._loop.time()
        self._withheld: tuple[str, ...] = ()
        self._file: TextIO | None = open_journal(path, _OPENING)

    def planned(self, spec: DeploySpec, plan: Plan) -> None:
        """Write down what is wanted, and what was decided."""
        wanted, withheld = without_secrets(spec)
        self._withheld = tuple(_worth_hiding(withheld))
        self._begin(
            "planned",
            api=self._api,
            fingerprint=spec.fingerprint,
            deployment=wanted,
            withheld=list(withheld),
            before=[unstructure(each) for each in _before(spec, plan)],
            plan=self._lines(str(plan).splitlines()),
        )

    def undoing(self, plan: Plan) -> None:
        """Write down how what was done is to be undone."""
        self._write("undoing", api=self._api, launch=plan.launch, plan=self._lines(str(plan).splitlines()))

    def began(self, track: Track, run: MachineRun) -> None:
        """Write down that the steps of a machine begin."""
        self._write("began", **_of(run), steps=self._lines(str(step) for step in track.steps))

    def stepped(self, run: MachineRun, step: Step) -> None:
        """Write down that one step of a machine is done."""
        self._write("stepped", **_of(run), step=type(step).__name__)

    def ended(self, run: MachineRun) -> None:
        """Write down what became of a machine."""
        error = self._cleaned(str(run.error)) if run.error else None
        self._write("ended", **_of(run), phase=run.phase, error=error)

    def finished(self, report: DeployReport) -> None:
        """Write down how it ended."""
        self._write(
            "finished",
            ok=report.ok,
            cancelled=report.cancelled,
            seconds=report.seconds,
            strategy=report.strategy,
            machines={
                each.name: each.result for region in report.regions for each in (*region.machines, *region.retired)
            },
        )

    def close(self) -> None:
        """Write no more."""
        file, self._file = self._file, None
        if file is not None:
            with suppress(OSError):
                file.close()

    def _begin(self, what: str, **said: Any) -> None:
        """Write a line without which there is nothing to go on from; raises InvalidInput where it cannot be written."""
        try:
            self._put(what, said)
        except OSError as error:
            self.close()
            raise _unwritable(self._path, error) from error

    def _write(self, what: str, **said: Any) -> None:
        try:
            self._put(what, said)
        except OSError as error:
            self._loop.call_exception_handler({"message": f"the journal {self._path} ends here", "exception": error})
            self.close()

    def _put(self, what: str, said: Mapping[str, Any]) -> None:
        if self._file is not None:
            at = round(self._loop.time() - self._start, 3)
            self._file.write(json.dumps({"what": what, "at": at, **said}) + "\n")
            self._file.flush()

    def _lines(self, texts: Iterable[str]) -> list[str]:
        """Return what is for people to read without what is withheld, which any of these texts may repeat."""
        return [self._cleaned(text) for text in texts]

    def _cleaned(self, text: str) -> str:
        for secret in self._withheld:
            text = text.replace(secret, HIDDEN)
        return without_passwords(text)


def _worth_hiding(withheld: Mapping[str, Any]) -> Iterator[str]:
    """Yield the texts that nothing else may repeat, the longest first; short ones would be found in any text."""
    texts = [withheld[RELEASE_COMMAND]] if RELEASE_COMMAND in withheld else []
    texts += (text for value in withheld.values() for text in _texts(value) if len(text) >= _SHORTEST_SECRET)
    yield from sorted(filter(None, texts), key=len, reverse=True)


def _texts(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, Mapping | list):
        yield from (text for each in (value.values() if isinstance(value, Mapping) else value) for text in _texts(each))


def _of(run: MachineRun) -> dict[str, Any]:
    """Say whose line it is; `made` tells a machine that the deploy has made."""
    machine_id = run.machine.id if run.machine else None
    made = machine_id is not None and not run.adopted
    return {"name": run.wanted.name, "aim": run.target, "machine": machine_id, "made": made}


def _before(spec: DeploySpec, plan: Plan) -> Iterator[Before]:
    groups = {spec.group, *spec.retired_groups}
    for machine in plan.before.machines if plan.before else ():
        if plan.group is None or group_of(machine) in groups:
            yield Before.of(machine)


# The file


def open_journal(path: str, opening: bytes) -> TextIO:
    """Open a journal at its end, and make it if it is not there; each of its kind begins with `opening`.

    Nobody else may read it, and nobody else writes it until it is closed. Raises InvalidInput for a file that cannot be
    written, that others may read, that is no such journal, or that somebody else is writing.
    """
    try:
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)
    except OSError as error:
        raise _unwritable(path, error) from error
    file = os.fdopen(descriptor, "r+", encoding="utf-8")
    try:
        _check_mode(path, descriptor)
        _lock(path, descriptor)
        _end_whole(path, descriptor, opening)
        _demand_room(path, descriptor, opening)
    except BaseException:
        file.close()
        raise
    return file


def _unwritable(path: str, error: OSError) -> InvalidInput:
    return InvalidInput(f"the journal {path} cannot be written: {error.strerror}")


def _demand_room(path: str, descriptor: int, opening: bytes) -> None:
    """Raise InvalidInput where the disk has no room for the first lines; what is written to find out is cut off."""
    end = os.fstat(descriptor).st_size
    try:
        os.write(descriptor, opening + b" " * _ROOM)
    except OSError as error:
        raise _unwritable(path, error) from error
    finally:
        os.ftruncate(descriptor, end)


def _check_mode(path: str, descriptor: int) -> None:
    mode = os.fstat(descriptor).st_mode
    if not stat.S_ISREG(mode):
        raise InvalidInput(f"{path} is no file that a journal can be kept in")
    if mode & _OTHERS:
        raise InvalidInput(
            f"the journal {path} is open to others ({stat.filemode(mode)}), and tells them what runs where: "
            f"chmod 600 {path}"
        )


def _lock(path: str, descriptor: int) -> None:
    """Keep other writers out until the file is closed, where the system can do that."""
    if sys.platform == "win32":
        return
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        raise InvalidInput(
            f"the journal {path} is being written by another deploy: name another file, or wait until that has ended"
        ) from None
    except OSError:
        pass  # some network file systems know no locks


def _end_whole(path: str, descriptor: int, opening: bytes) -> None:
    """Cut off a last line that was not written to its end; raises InvalidInput for what is no journal."""
    said = Path(path).read_bytes()
    if said and not (said.startswith(opening) or opening.startswith(said)):
        raise InvalidInput(
            f"{path} holds something else than a journal, so nothing is written to it: name another file"
        )
    os.ftruncate(descriptor, said.rfind(b"\n") + 1)
