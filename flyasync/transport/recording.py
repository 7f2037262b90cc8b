"""Record what a client sends and receives, with placeholders for secrets: docs/pages/recording.md has the format."""

import asyncio
import json
import logging
import os
import stat
import sys
import zlib
from base64 import b64encode
from collections.abc import Mapping
from datetime import UTC, datetime
from importlib.metadata import version
from typing import Any, Final, Protocol

from flyasync.errors import CallFailed, ConnectFailed, FlyError, InvalidInput
from flyasync.json_text import read_json
from flyasync.transport.request import Request, Response

if sys.platform != "win32":
    import fcntl

log = logging.getLogger("flyasync")

FORMAT: Final = "flyasync-recording"
VERSION: Final = 1

_HEADERS: Final = ("content-type", "date", "fly-request-id", "retry-after")
_BROKEN: Final = frozenset({"ConnectFailed", "ConnectionLost"})
"""Errors of the network; after all others, this client has cut the exchange: it gave up, was cancelled or closed."""
_PAYS: Final = 400
"""The size in bytes from which a body is compressed, unless it gets longer."""


class Redact(Protocol):
    """Replaces values that may be secret by placeholders."""

    def in_request(self, body: Any) -> Any:
        """Return the body of a request with placeholders."""

    def in_response(self, operation: str, body: Any) -> Any:
        """Return the body of a response with placeholders."""

    def in_facts(self, facts: Mapping[str, Any]) -> Any:
        """Return facts, such as the spec of a deploy, with placeholders."""

    def in_path(self, path: str) -> str:
        """Return the path of a URL with placeholders."""

    def in_query(self, name: str, value: str) -> str:
        """Return a value of a URL's query with placeholders."""

    def in_text(self, text: str) -> str:
        """Return a text with placeholders."""


class Recording:
    """The file of a recording, which replaces an existing file and which only its owner can read.

    It ends before the line with which it would be longer than `max_bytes`, and then says so. If the disk fails, the
    recording ends, the client continues, and the event loop's exception handler is called. Raises InvalidInput if the
    file cannot be written, or another client records in it.
    """

    def __init__(
        self, path: str | os.PathLike[str], redact: Redact, *, max_bytes: int, facts: Mapping[str, Any]
    ) -> None:
        if type(max_bytes) is not int or max_bytes < 1:
            raise InvalidInput(f"record_bytes is {max_bytes!r}, but must be a whole number of bytes, 1 or more")
        self._path = os.fspath(path)
        self._redact = redact
        self._left = max_bytes
        self._start: float | None = None
        self._has_begun = False
        started = datetime.now(UTC).isoformat(timespec="milliseconds")
        about = {"format": FORMAT, "version": VERSION, "flyasync": version("flyasync"), "started": started}
        try:
            self._descriptor: int | None = _opened(self._path)
            self._write({**about, **facts})
            self._has_begun = True
        except OSError as error:
            raise InvalidInput(f"the recording {self._path} cannot be written: {error.strerror}") from error

    def __repr__(self) -> str:
        return f"<Recording {self._path}{'' if self._descriptor else ', closed'}: {self._left} bytes left>"

    def add(
        self,
        request: Request,
        response: Response | None,
        error: str | None,
        *,
        number: int,
        started: float,
        failure: FlyError | None = None,
    ) -> None:
        """Record one exchange, from `started` until now: the attempt with this number, and the class of its error.

        `failure` is that error, if it is one of ours.
        """
        if self._descriptor is None:
            return
        # A recording changes nothing about a call, also if it fails.
        try:
            line = self._exchange(request, response, error, number, started)
            if error in _BROKEN and isinstance(failure, CallFailed):
                line["failure"] = self._failure(failure)
            self._write(line)
        except Exception:
            log.exception("an exchange could not be recorded")

    def note(self, what: str, facts: Mapping[str, Any]) -> None:
        """Record something else than an exchange, such as the spec of a deploy."""
        if self._descriptor is None:
            return
        now = asyncio.get_running_loop().time()
        try:
            self._write({"what": what, "at": self._since_start(now), **self._redact.in_facts(facts)})
        except Exception:
            log.exception("a %s could not be recorded", what)

    def close(self) -> None:
        """End the recording; nothing is recorded afterwards."""
        self._end("closed")

    def _exchange(
        self, request: Request, response: Response | None, error: str | None, number: int, started: float
    ) -> dict[str, Any]:
        seconds = asyncio.get_running_loop().time() - started
        line: dict[str, Any] = {
            "what": "exchange",
            "at": self._since_start(started),
            "seconds": round(seconds, 6),
            "operation": request.operation,
            "identifier": request.identifier,
            "attempt": number,
            "method": request.method,
            "path": self._redact.in_path(request.path),
        }
        if request.query:
            line["query"] = [[name, self._redact.in_query(name, value)] for name, value in request.query]
        if request.content is not None:
            line |= _packed("request", self._redact.in_request(read_json(request.content)))
        if response is None:
            return {**line, "error": error, "cut": error not in _BROKEN}
        line["status"] = response.status
        line["headers"] = {
            name: self._redact.in_text(text) for name in _HEADERS if (text := response.headers.get(name))
        }
        return line | self._body(request, response)

    def _failure(self, failure: CallFailed) -> dict[str, Any]:
        """Return what a replay needs to raise the same error of the network."""
        texts = {"message": self._redact.in_text(failure.message), "advice": self._redact.in_text(failure.advice)}
        return texts | ({"is_temporary": failure.is_temporary} if isinstance(failure, ConnectFailed) else {})

    def _body(self, request: Request, response: Response) -> dict[str, Any]:
        if not response.body:
            return {}
        try:
            body = read_json(response.body)
        except (ValueError, RecursionError):
            text = response.body.decode("utf-8", "replace")
            return {"response_text": self._redact.in_response(request.operation, self._redact.in_text(text))}
        return _packed("response", self._redact.in_response(request.operation, body))

    def _since_start(self, now: float) -> float:
        # The time of the first line: the client may have been made before the loop ran.
        if self._start is None:
            self._start = now
        return round(now - self._start, 6)

    def _write(self, line: dict[str, Any]) -> None:
        content = json.dumps(line, separators=(",", ":")).encode() + b"\n"
        if len(content) > self._left:
            self._end("bound")
        elif self._descriptor is not None:
            self._left -= len(content)
            self._put(content)

    def _put(self, content: bytes) -> None:
        assert self._descriptor is not None  # noqa: S101 - only an open recording writes
        try:
            while content:
                content = content[os.write(self._descriptor, content) :]
        except OSError as error:
            os.close(self._descriptor)
            self._descriptor = None
            if not self._has_begun:
                raise
            asyncio.get_running_loop().call_exception_handler(
                {"message": f"the recording {self._path} ends here and does not contain later exchanges",
                 "exception": error}
            )  # fmt: skip

    def _end(self, reason: str) -> None:
        if self._descriptor is not None:
            self._put(json.dumps({"what": "end", "reason": reason}, separators=(",", ":")).encode() + b"\n")
        if self._descriptor is not None:
            os.close(self._descriptor)
            self._descriptor = None


def _opened(path: str) -> int:
    """Return the descriptor of an empty file that only its owner can read, and that no other recording is written to.

    Raises InvalidInput if one is, and OSError.
    """
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        # The lock comes before the file is emptied: two recordings in one file would be of no use.
        if sys.platform != "win32":
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                raise InvalidInput(
                    f"the recording {path} is being written by another client: use another file"
                ) from None
            except OSError:
                pass  # some network file systems do not support locks
        if stat.S_ISREG(os.fstat(descriptor).st_mode):  # the mode of a device or a pipe stays as it is
            os.ftruncate(descriptor, 0)
            os.fchmod(descriptor, 0o600)
    except BaseException:
        os.close(descriptor)
        raise
    return descriptor


def _packed(name: str, body: Any) -> dict[str, Any]:
    """Return the member with a body: as JSON, or compressed as base64 of zlib if that is shorter."""
    content = json.dumps(body, separators=(",", ":")).encode()
    if len(content) < _PAYS:
        return {name: body}
    packed = b64encode(zlib.compress(content)).decode()
    return {f"{name}_zlib": packed} if len(packed) < len(content) else {name: body}
