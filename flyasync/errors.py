"""Every exception of the package, as one tree.

FlyError
├── InvalidInput            refused here, before any request (also a ValueError)
│   └── MissingToken        no token in any of the places where flyctl looks
├── ClientClosed            the client was closed before or during the call
├── Abandoned               given up by its caller before it left, or before it left again
├── CallFailed              a call that reached the network: `operation`, `identifier`
│   ├── Unanswered          a request, and no reply
│   │   ├── ConnectFailed   the connection was never made: nothing happened
│   │   ├── ConnectionLost  it broke off on the way: the work may have been done
│   │   └── NoReplyInTime   the reply did not come in time: the work may have been done
│   ├── Refused             a reply with an error status: `status`, `code`, `message`, `request_id`
│   │   ├── BadRequest      400, 422: the request itself is wrong
│   │   ├── Unauthorized    401: no token, or one the API does not know
│   │   ├── Forbidden       403: a token without access to this
│   │   ├── NotFound        404, 410: no such app, machine, volume…: `what`, where the API names it
│   │   ├── ImageNotFound   the registry does not have the image, or not yet
│   │   ├── Conflict        409, 412: not as things stand
│   │   │   ├── LeaseHeld       another client holds the machine's lease: `holder`, `expires_at`
│   │   │   ├── NameTaken       the name is in use: `existing_id` when the API names the holder
│   │   │   ├── AlreadyStarting the machine is starting or started already
│   │   │   ├── WrongState      the machine's state does not allow this action
│   │   │   │   └── NotSettled      not now: the machine is on its way to another state
│   │   │   ├── StaleVersion    another client changed it since it was read
│   │   │   ├── VolumeInUse     another machine holds the volume: `machine_id`
│   │   │   │   └── ClaimLingers    the machine that held the volume is gone, but not its claim
│   │   │   └── SecretsNotReady the secrets version asked for has not arrived yet
│   │   ├── RateLimited     429: `retry_after`
│   │   ├── NoCapacity      no room, whatever the status: `scope` is where
│   │   ├── TimedOut        408, 504: the API gave up; the work may have been done
│   │   └── ServerFault     other 5xx: the work may have been done
│   ├── Unreadable          a reply that is not what the API documents
│   └── GraphQLFailed       a GraphQL answer that holds errors: `errors`, `codes`, `data`
├── IncompleteList          a list that lacks regions the API could not read: `error_regions`
├── WaitFailed              a wait that cannot succeed any more, or ran out of time
├── JobLost                 a deploy given to an executor that does not know how it ended: `app`, `launch`
└── DeployFailed            a deploy that missed its requirement: `report`
"""

from collections.abc import Callable, Iterable
from enum import StrEnum
from typing import Any, ClassVar, Literal, Self

from flyasync.safe_text import brief, each_text, readable


class FlyError(Exception):
    """The root of every exception that flyasync raises.

    `may_have_happened` answers the question that decides what to do next: whether the API may have done what was
    asked, although this error came back instead of its answer.
    """

    may_have_happened: bool = False

    def __str__(self) -> str:
        return readable(self._text())

    def _text(self) -> str:
        return super().__str__()

    @property
    def for_command(self) -> str:
        """The text in the terms of the command `flyasync`, where `str()` uses those of Python."""
        return str(self)

    def redact(self, redacted: Callable[[str], str]) -> Self:
        """Redact secrets in every text that it holds, by a function that redacts one text; return itself."""
        self.args = tuple(each_text(redacted, self.args))
        for name, value in vars(self).items():
            shown = each_text(redacted, value)
            vars(self)[name] = tuple(shown) if isinstance(value, tuple) else shown
        return self

    def doubted(self, *, may_have_happened: bool) -> Self:
        """Record what is known about all attempts of the call, which may be more than this error says; return self."""
        self.may_have_happened = may_have_happened
        return self

    def __reduce__(self) -> tuple[Any, ...]:
        # Exceptions pickle by calling the class with their args; ours have keyword-only details as well.
        return _revive, (type(self), self.args), self.__dict__


def _revive(kind: type[FlyError], args: tuple[Any, ...]) -> FlyError:
    return kind.__new__(kind, *args)


class InvalidInput(FlyError, ValueError):
    """A value that the API would refuse, refused here before any request.

    What to do about it may differ between Python and the command: `python` names methods, `command` names options.
    """

    def __init__(self, message: str, *, python: str = "", command: str = "") -> None:
        super().__init__(message)
        self.python = python
        self.command = command

    def _text(self) -> str:
        return ": ".join(filter(None, [super()._text(), self.python]))

    @property
    def for_command(self) -> str:
        """The text with the options of the command `flyasync`, where `str()` names the methods of Python."""
        return readable(": ".join(filter(None, [super()._text(), self.command])))


class MissingToken(InvalidInput):
    """No token was given, and none was found where flyctl would look."""


class ClientClosed(FlyError, RuntimeError):
    """The client was closed; a call that was under way may have happened."""

    def __init__(self, message: str, *, may_have_happened: bool = False) -> None:
        super().__init__(message)
        self.may_have_happened = may_have_happened


class Abandoned(FlyError):
    """A request that its caller gave up before it left, or before it left again after a failure."""

    def __init__(self, message: str, *, may_have_happened: bool = False) -> None:
        super().__init__(message)
        self.may_have_happened = may_have_happened


class CallFailed(FlyError):
    """A call that reached the network: `operation` and `identifier` name it.

    `message` is what went wrong, `advice` what may help. A page of HTML is one line in a message, anything else is cut
    at 64 kB.
    """

    advice: str = ""
    doubt: ClassVar[str] = "An earlier attempt may have happened: look before asking again"
    """A sentence of its text when it `may_have_happened`."""
    relief: ClassVar[str] = ""
    """A sentence of its text when it has not."""

    def __init__(self, operation: str, identifier: str, message: str, *, advice: str | None = None) -> None:
        message = brief(message)
        super().__init__(operation, identifier, message)
        self.operation = operation
        self.identifier = identifier
        self.message: str = message
        if advice is not None:
            self.advice = advice

    def explained(self, advice: str, *, message: str | None = None) -> Self:
        """Set the advice, and the message if given, of a caller that knows more than the API; return itself."""
        self.advice = advice
        self.message = self.message if message is None else brief(message)
        return self

    def _text(self) -> str:
        problem = f"{self.operation} {self.identifier}: {self.message}{self._details()}"
        return ". ".join(filter(None, [problem, self.doubt if self.may_have_happened else self.relief, self.advice]))

    def _details(self) -> str:
        return ""


class Unanswered(CallFailed):
    """A request that got no reply."""

    may_have_happened = True
    doubt = "It may have happened: look before asking again"
    relief = "Nothing was changed by it: ask again"


class ConnectFailed(Unanswered):
    """The connection was never made, so nothing happened; `is_temporary` when trying again may help."""

    may_have_happened = False
    doubt = CallFailed.doubt
    relief = "Nothing was sent"
    advice = "Check the base URL and the network"

    def __init__(
        self, operation: str, identifier: str, message: str, *, advice: str | None = None, is_temporary: bool = True
    ) -> None:
        super().__init__(operation, identifier, message, advice=advice)
        self.is_temporary = is_temporary


class ConnectionLost(Unanswered):
    """The connection broke before the reply was whole; the work may have been done."""


class NoReplyInTime(Unanswered):
    """No reply came within the timeout; the work may have been done."""


class Refused(CallFailed):
    """A reply with an error status.

    `status` is the HTTP status; `code` is the API's own word for the reason, where it gives one; `message` is its
    prose; `request_id` is what Fly.io's support asks for.

    `clears_within` is the number of seconds within which such a refusal clears by itself, if it ever does: for that
    time the client has sent the request again before it raised the error. It is 0 for one that is permanent.
    """

    clears_within: float = 0.0

    def __init__(
        self,
        operation: str,
        identifier: str,
        message: str,
        *,
        status: int,
        code: str | None = None,
        request_id: str | None = None,
        advice: str | None = None,
    ) -> None:
        super().__init__(operation, identifier, message, advice=advice)
        self.status = status
        self.code = code
        self.request_id = request_id

    def clearing(self, within: float) -> Self:
        """Record within how many seconds it clears by itself, 0 for never; return itself."""
        self.clears_within = within
        return self

    def _details(self) -> str:
        code = f" {self.code}" if self.code else ""
        request = f", request {self.request_id}" if self.request_id else ""
        return f" (HTTP {self.status}{code}{request})"


class BadRequest(Refused):
    """The request itself is wrong (400, 422); the same one will be refused again."""

    advice = "Correct the request: the same one would be refused again"


class Unauthorized(Refused):
    """The token is missing, malformed, expired or unknown (401)."""

    advice = "Make a new token with: fly tokens create deploy"


class Forbidden(Refused):
    """The token has no access to this (403), or the name of the app belongs to another organization."""

    advice = (
        "Check the name: it may belong to another organization, and then no token of yours covers it. If it is yours, "
        "use a token that covers it"
    )


class NotFound(Refused):
    """The thing does not exist (404), or no longer (410).

    `what` is "app" or "machine" where the API names it. That a machine does not exist was confirmed by a second
    request, since the API sometimes errs.
    """

    advice = "Check the name; what was made or destroyed a moment ago may be told differently for some seconds"

    def __init__(self, *args: Any, what: Literal["app", "machine"] | None = None, **details: Any) -> None:
        super().__init__(*args, **details)
        self.what = what
        if what == "machine":
            self.clears_within = 2.0


class ImageNotFound(Refused):
    """The registry does not have the image; one that was just pushed is found within seconds."""

    clears_within = 60.0
    advice = (
        "Check the image's name and tag, and that it was pushed: it was not found for as long as a new one may take"
    )


class Conflict(Refused):
    """Not possible in the present state (409, 412); the subclasses name what is in the way."""

    advice = "Look at what is there now, then decide"


class LeaseHeld(Conflict):
    """Another client holds the machine's lease; the Fly Proxy takes short ones too."""

    advice = "Wait until it expires, or pass the nonce of the lease you hold"

    def __init__(self, *args: Any, holder: str | None = None, expires_at: str | None = None, **details: Any) -> None:
        super().__init__(*args, **details)
        self.holder = holder
        self.expires_at = expires_at


class NameTaken(Conflict):
    """The name is in use; `existing_id` is the machine that has it, where the API names it."""

    advice = "Use the one that has it, or choose another name"

    def __init__(self, *args: Any, existing_id: str | None = None, **details: Any) -> None:
        super().__init__(*args, **details)
        self.existing_id = existing_id


class AlreadyStarting(Conflict):
    """The machine is starting or started already, so there is nothing to do but wait."""

    advice = "Wait for the state started"


class WrongState(Conflict):
    """The machine's state does not allow this action now."""

    advice = "Wait for the machine to settle, then try again"


class NotSettled(WrongState):
    """The machine is on its way from one state to another, or has only just arrived; then it allows the action."""

    clears_within = 30.0


class StaleVersion(Conflict):
    """Another client changed it since it was read."""

    advice = "Read it again and repeat the change on what is there now"


class VolumeInUse(Conflict):
    """Another machine holds the volume: `machine_id`."""

    advice = "Destroy that machine first, or use another volume"

    def __init__(self, *args: Any, machine_id: str | None = None, **details: Any) -> None:
        super().__init__(*args, **details)
        self.machine_id = machine_id


class ClaimLingers(VolumeInUse):
    """The machine that held the volume is gone, and its claim is not cleared yet; that may take minutes."""

    clears_within = 120.0
    advice = "Try again in a few minutes, or use another volume"


class SecretsNotReady(Conflict):
    """The secrets version asked for has not reached this app's machines yet."""

    clears_within = 60.0
    advice = "Try again in a moment"


class RateLimited(Refused):
    """Too many requests for one action on one identifier (429).

    `retry_after` is in seconds: what the API asked for, or what remains of a pause that kept the call from being sent.
    It is None where the API named no time that makes sense.
    """

    advice = "Another process uses the same limit: 1 request a second for each action and identifier"

    def __init__(self, *args: Any, retry_after: float | None = None, **details: Any) -> None:
        super().__init__(*args, **details)
        self.retry_after = retry_after

    def pausing(self, seconds: float) -> Self:
        """Record for how many seconds a pause still keeps the call; return itself."""
        self.retry_after = seconds
        return self

    def _details(self) -> str:
        when = "" if self.retry_after is None else f": ask again after {round(self.retry_after, 1):g} s"
        return f"{super()._details()}{when}"


class Scope(StrEnum):
    """Where there is no room; each has another remedy."""

    REGION = "region"  # the whole region is full: go to another one
    HOST = "host"  # the machine's host is full: create it anew and it may land on another
    VOLUME_HOST = "volume host"  # the volume's host is full: fork or recreate the volume elsewhere
    QUOTA = "quota"  # the organization's quota in this region is used up: another region, or ask for more


class NoCapacity(Refused):
    """There is no room; `scope` is where, and so determines what can help."""

    def __init__(self, *args: Any, scope: Scope, **details: Any) -> None:
        super().__init__(*args, **details)
        self.scope = scope


class TimedOut(Refused):
    """The API gave up on it (408, 504); the work may have been done."""

    may_have_happened = True
    doubt = Unanswered.doubt
    relief = Unanswered.relief


class ServerFault(Refused):
    """The API failed (5xx); the work may have been done."""

    may_have_happened = True
    doubt = Unanswered.doubt
    relief = Unanswered.relief
    advice = "See https://status.flyio.net"


class Unreadable(CallFailed):
    """A reply that is not what the API documents; what was asked for was most likely done, unless it was a read."""

    may_have_happened = True
    doubt = "Most likely it was done"
    advice = "`base_url` may lead to something that is not the Machines API"

    def __init__(
        self,
        operation: str,
        identifier: str,
        message: str,
        *,
        advice: str | None = None,
        may_have_happened: bool = True,
    ) -> None:
        super().__init__(operation, identifier, message, advice=advice)
        self.may_have_happened = may_have_happened


class GraphQLFailed(CallFailed):
    """A GraphQL answer with errors in it, which comes with HTTP 200.

    `errors` are as they came, each with its `message`, and often a `path` and a code; `messages`, `codes` and `paths`
    are read from them. `data` is what there was beside them. Of a mutation any part may have been done.
    """

    doubt = "Any part of it may have been done: look before asking again"

    def __init__(
        self,
        operation: str,
        identifier: str,
        errors: Iterable[Any],
        *,
        data: Any = None,
        may_have_happened: bool = False,
    ) -> None:
        self.errors: tuple[dict[str, Any], ...] = tuple(
            error if isinstance(error, dict) else {"message": str(error)} for error in errors
        )
        super().__init__(operation, identifier, "; ".join(map(brief, self.messages)) or "no reason given")
        self.data = data
        self.may_have_happened = may_have_happened

    @property
    def messages(self) -> tuple[str, ...]:
        """The messages of the errors."""
        return tuple(str(error.get("message") or error.get("detail") or "") for error in self.errors)

    @property
    def codes(self) -> tuple[str, ...]:
        """The errors' codes, such as `NOT_FOUND`, where they have one."""
        details = [error.get("extensions") for error in self.errors]
        return tuple(str(one["code"]) for one in details if isinstance(one, dict) and "code" in one)

    @property
    def paths(self) -> tuple[tuple[Any, ...], ...]:
        """Where in the query the errors are, each as names and numbers; empty where an error does not name it."""
        return tuple(tuple(error.get("path") or ()) for error in self.errors)


class IncompleteList(FlyError):
    """A list ended, and lacks what is in the `error_regions`: what is absent from it may well be there."""

    def __init__(self, operation: str, identifier: str, error_regions: Iterable[str]) -> None:
        self.error_regions: tuple[str, ...] = tuple(error_regions)
        super().__init__(operation, identifier, self.error_regions)
        self.operation = operation
        self.identifier = identifier

    def _text(self) -> str:
        return (
            f"{self.operation} {self.identifier}: the list is incomplete, for the API could not read "
            f"{', '.join(self.error_regions)}. Ask again later, or pass on_error_regions= to go on without them"
        )


class WaitFailed(FlyError):
    """A wait that ran out of time, or for a state that the machine can no longer reach.

    `state` is the state it was last seen in, `wanted` the one waited for; `hopeless` is True in the second case.
    """

    def __init__(self, app: str, machine_id: str, *, wanted: str, state: str, reason: str, hopeless: bool) -> None:
        super().__init__(app, machine_id, wanted, state, reason)
        self.app = app
        self.machine_id = machine_id
        self.wanted = wanted
        self.state = state
        self.reason = reason
        self.hopeless = hopeless

    def _text(self) -> str:
        return (
            f"machine {self.machine_id} of {self.app} is {self.state}, not {self.wanted}: {self.reason}. "
            f"See its events: flyasync machines events {self.app} {self.machine_id}"
        )


class JobLost(FlyError):
    """A deploy of many whose executor does not know how it ended; machines of its `launch` may have been made."""

    may_have_happened = True

    def __init__(self, app: str, launch: str, reason: str) -> None:
        super().__init__(app, launch, reason)
        self.app = app
        self.launch = launch
        self.reason = reason

    def _text(self) -> str:
        return (
            f"the deploy of {self.app} was lost: {self.reason}. Machines may have been made or changed: deploy it "
            f"again with launch {self.launch}, which finds what is there"
        )


class DeployFailed(FlyError):
    """A deploy that missed its requirement; `report` lists what runs, what does not and why."""

    may_have_happened = True

    def __init__(self, report: Any) -> None:
        super().__init__(report)
        self.report = report

    def _text(self) -> str:
        return str(self.report)
