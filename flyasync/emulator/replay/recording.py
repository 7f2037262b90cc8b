"""Read a recording: JSON lines in the format of docs/pages/recording.md."""

import base64
import json
import zlib
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from attrs import Factory, frozen

from flyasync.emulator.core.go_json import Json

FORMAT, VERSION = "flyasync-recording", 1


_FOREIGN = "not a recording: flyasync deploy --record FILE writes one"
_OF_A_DEPLOY = frozenset({"at", "app", "launch", "kind", "spec", "fingerprints"})
_MALFORMED = (ValueError, KeyError, TypeError, AttributeError, zlib.error)


class RecordingError(ValueError):
    """A file is not a recording, or one that this version cannot read; the text names the file and the line."""


@frozen(kw_only=True)
class Exchange:
    """One attempt of a request, at a time in seconds since the beginning; without a response, it has an `error`.

    `failure` are the texts of an error of the network.
    """

    number: int
    at: float
    seconds: float
    operation: str
    identifier: str
    method: str
    path: str
    query: tuple[tuple[str, str], ...] = ()
    request: Any = None
    status: int | None = None
    headers: Mapping[str, str] = Factory(dict)
    response: Any = None
    is_text: bool = False
    error: str | None = None
    is_cut: bool = False
    failure: Json | None = None

    @property
    def end(self) -> float:
        """The time at which the response, or the error, arrived."""
        return self.at + self.seconds

    @property
    def is_success(self) -> bool:
        """Whether the response has a success status."""
        return self.status is not None and 200 <= self.status < 300  # noqa: PLR2004 - the range of HTTP

    def __str__(self) -> str:
        return f"{self.method} {self.path}"


@frozen(kw_only=True)
class RecordedDeploy:
    """A deploy of a recording: its spec, and its report as JSON unless the recording ends before it.

    `until` is the time of the next deploy of the same app, or of the end, `cancelled_at` are the times at which it was
    cancelled, and `raised` is the error that it raised.
    """

    at: float
    until: float
    line: Json
    report: Json | None = None
    cancelled_at: tuple[float, ...] = ()
    raised: Json | None = None

    @property
    def name(self) -> str:
        """The app and the launch, as they are shown to users."""
        return f"{self.line['app']} {self.line['launch'] or self.line['kind']}"


@frozen(kw_only=True)
class Recording:
    """A recording: who wrote it, its deploys, its exchanges in the order in which they were sent, and why it ends.

    `ends` is `closed`, `bound` if it reached its bound, or None if its writer was killed.
    """

    source: str
    header: Json
    deploys: tuple[RecordedDeploy, ...]
    exchanges: tuple[Exchange, ...]
    ends: str | None


def read_recording(path: str | Path) -> Recording:
    """Read a recording; raise RecordingError for any other file, and OSError for one that cannot be read."""
    source = str(path)
    header: Json | None = None
    noted: list[Json] = []
    exchanges: list[Exchange] = []
    ends: str | None = None
    lines = Path(path).read_bytes().splitlines(keepends=True)
    for number, raw in enumerate(lines, start=1):
        if number == len(lines) and not raw.endswith(b"\n"):
            break  # its writer was killed
        try:
            line = json.loads(raw)
            if header is None:
                header = _demand_header(line)
            elif line["what"] == "exchange":
                exchanges.append(_exchange(len(exchanges), line))
            elif line["what"] == "end":
                ends = line["reason"]
            else:
                noted.append(line)
        except RecordingError as error:
            raise RecordingError(f"{source}: {error}") from None
        except _MALFORMED as error:
            if header is None:
                raise RecordingError(f"{source}: {_FOREIGN}") from None
            raise RecordingError(f"{source}, line {number}: not a line of a recording: {_problem(error)}") from None
    if header is None:
        raise RecordingError(f"{source} has no complete line, so it is not a recording")
    exchanges.sort(key=lambda each: each.at)
    try:
        deploys = _deploys(noted)
    except RecordingError as error:
        raise RecordingError(f"{source}: {error}") from None
    return Recording(source=source, header=header, deploys=deploys, exchanges=tuple(exchanges), ends=ends)


def _problem(error: Exception) -> str:
    return f"it lacks {error}" if isinstance(error, KeyError) else str(error)


def _demand_header(line: Any) -> Json:
    if not isinstance(line, dict) or line.get("format") != FORMAT:
        raise RecordingError(_FOREIGN)
    if line.get("version") != VERSION:
        raise RecordingError(
            f"the recording has version {line.get('version')!r} of the format; this flyasync reads version {VERSION}"
        )
    if missing := sorted({"flyasync", "started"} - line.keys()):
        raise RecordingError(f"the first line of the recording lacks {' and '.join(missing)}")
    return line


def _exchange(number: int, line: Json) -> Exchange:
    is_text = "response_text" in line
    return Exchange(
        number=number,
        at=float(line["at"]),
        seconds=float(line["seconds"]),
        operation=line["operation"],
        identifier=line["identifier"],
        method=line["method"],
        path=line["path"],
        query=tuple((name, value) for name, value in line.get("query", ())),
        request=_body(line, "request"),
        status=line.get("status"),
        headers=line.get("headers", {}),
        response=line["response_text"] if is_text else _body(line, "response"),
        is_text=is_text,
        error=line.get("error"),
        is_cut=line.get("cut", False),
        failure=line.get("failure"),
    )


def _body(line: Json, name: str) -> Any:
    packed = line.get(f"{name}_zlib")
    return line.get(name) if packed is None else json.loads(zlib.decompress(base64.b64decode(packed)))


def _deploys(noted: Iterable[Json]) -> tuple[RecordedDeploy, ...]:
    """Return each deploy with the report, the cancellations and the error that follow it; raise RecordingError."""
    found: list[RecordedDeploy] = []
    lines = list(noted)
    for number, line in enumerate(lines):
        if line["what"] != "deploy":
            continue
        if missing := sorted(_OF_A_DEPLOY - line.keys()):
            raise RecordingError(f"the line of a deploy lacks {', '.join(missing)}")
        later = [each for each in lines[number + 1 :] if each.get("app") == line["app"]]
        until = next((each["at"] for each in later if each["what"] == "deploy"), float("inf"))
        own = {each["what"]: each for each in reversed(later) if each["at"] <= until}
        report, raised = own.get("report"), own.get("raised")
        found.append(
            RecordedDeploy(
                at=line["at"],
                until=until,
                line=line,
                report=report.get("report") if report else None,
                cancelled_at=tuple(each["at"] for each in later if each["what"] == "cancelled" and each["at"] <= until),
                raised={name: raised.get(name) for name in ("kind", "message")} if raised else None,
            )
        )
    return tuple(found)
