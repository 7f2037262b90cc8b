"""Every exception of the package, as one tree.

FlyError
├── InvalidInput            a value refused by flyasync before any request (also a ValueError)
│   ├── MissingToken        no token where flyctl would find one
│   └── FleetChanged        a saved plan or a paused deploy no longer fits the fleet: `changes`
├── ClientClosed            the client was closed before or during the call
├── WrongLoop               the client was used outside of its event loop: nothing was sent
├── Abandoned               cancelled by its caller before it was sent, or before it was retried
├── CallFailed              a call that reached the network: `operation`, `identifier`
│   ├── Unanswered          a request without a response
│   │   ├── ConnectFailed   no connection was made: nothing happened
│   │   ├── ConnectionLost  the connection broke during the exchange: the request may have happened
│   │   └── NoReplyInTime   the response did not arrive in time: the request may have happened
│   ├── Refused             a response with an error status: `status`, `code`, `message`, `request_id`
│   │   ├── BadRequest      400, 422: the request itself is wrong
│   │   ├── Unauthorized    401: the token is missing or not accepted
│   │   ├── Forbidden       403: the token has no access to this resource
│   │   ├── NotFound        404, 410: no such app, machine, volume…: `what`, where the API names it
│   │   ├── ImageNotFound   the registry does not have the image, or not yet
│   │   ├── Conflict        409, 412: not possible in the present state
│   │   │   ├── LeaseHeld       another client holds the machine's lease: `holder`, `expires_at`
│   │   │   ├── NameTaken       the name is in use: `existing_id` when the API names the holder
│   │   │   ├── AlreadyStarting the machine is starting or started already
│   │   │   ├── WrongState      the machine's state does not allow this action
│   │   │   │   └── NotSettled      the machine is changing to another state
│   │   │   ├── StaleVersion    another client changed the machine since it was read
│   │   │   ├── VolumeInUse     another machine holds the volume: `machine_id`
│   │   │   │   └── ClaimLingers    the volume is still claimed by a machine that no longer exists
│   │   │   └── SecretsNotReady the requested secrets version has not arrived yet
│   │   ├── RateLimited     429: `retry_after`
│   │   ├── NoCapacity      no capacity, with any status: `scope` is where
│   │   ├── TimedOut        408, 504: the API gave up; the request may have happened
│   │   └── ServerFault     other 5xx: the request may have happened
│   ├── Unreadable          a response that is not what the API documents
│   └── GraphQLFailed       a GraphQL response with errors: `errors`, `codes`, `data`
├── NoFreeVolume            no volume of the name that a mount states is free: `app`, `name`
├── IncompleteList          a list without the regions that the API could not read: `error_regions`
├── WaitFailed              a wait that timed out or can no longer succeed
├── PoolExhausted           a claim that got no machine of its pool in time: `machines`, `claimed`
├── FileNotCopied           a file that could not be copied into or out of a machine: `path`, `exit_code`, `stderr`
├── JobLost                 a deploy whose executor lost track of it: `app`, `launch`
└── DeployFailed            a deploy whose report is not ok: `report`
"""

from collections.abc import Callable, Iterable
from enum import StrEnum
from typing import Any, ClassVar, Literal, Self

from flyasync.safe_text import brief, each_text, readable


class FlyError(Exception):
    """The root of every exception that flyasync raises.

    `may_have_happened` is whether the API may have carried out the request in spite of the error. It decides what to do
    next: a request that cannot have happened is safe to send again.
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
        """Apply `redacted`, a function that redacts secrets in one text, to every text in the error; return itself."""
        self.args = tuple(each_text(redacted, self.args))
        for name, value in vars(self).items():
            shown = each_text(redacted, value)
            vars(self)[name] = tuple(shown) if isinstance(value, tuple) else shown
        return self

    def doubted(self, *, may_have_happened: bool) -> Self:
        """Record whether any attempt of the call may have happened, not only the last one; return self."""
        self.may_have_happened = may_have_happened
        return self

    def __reduce__(self) -> tuple[Any, ...]:
        # Exceptions pickle by calling the class with their args; ours have keyword-only details as well.
        return _revive, (type(self), self.args), self.__dict__


def _revive(kind: type[FlyError], args: tuple[Any, ...]) -> FlyError:
    return kind.__new__(kind, *args)


class InvalidInput(FlyError, ValueError):
    """A value that the API would refuse. flyasync raises it before it sends any request.

    The advice may differ between Python and the command: `python` names methods, `command` names options. `parameter`
    is the Python parameter that the message begins with, if it begins with one.
    """

    def __init__(self, message: str, *, python: str = "", command: str = "", parameter: str = "") -> None:
        super().__init__(message)
        self.python = python
        self.command = command
        self.parameter = parameter

    def _text(self) -> str:
        return ": ".join(filter(None, [super()._text(), self.python]))

    @property
    def for_command(self) -> str:
        """The text with the options of the command `flyasync`, where `str()` names the methods of Python."""
        return readable(": ".join(filter(None, [super()._text(), self.command])))

    def for_option(self, option: str) -> str:
        """Return the text for the command; it begins with `option`, instead of the Python parameter."""
        text = self.for_command
        return f"{option}{text.removeprefix(self.parameter)}" if self.parameter else f"{option}: {text}"


_SHOWN_CHANGES = 5


class FleetChanged(InvalidInput):
    """A saved plan, or a deploy that has paused, that no longer fits the fleet; nothing was changed.

    `changes` has a line of text for each difference; the message lists the first five.
    """

    def __init__(self, problem: str, changes: Iterable[str], *, python: str = "", command: str = "") -> None:
        self.changes = tuple(changes)
        shown = "; ".join(self.changes[:_SHOWN_CHANGES])
        left = len(self.changes) - _SHOWN_CHANGES
        more = f"; and {left} more" if left > 0 else ""
        super().__init__(f"{problem}: {shown}{more}", python=python, command=command)


class MissingToken(InvalidInput):
    """No token was passed, and none was found in the places that flyctl searches."""


class ClientClosed(FlyError, RuntimeError):
    """The client was closed. A request that was in progress may have happened."""

    def __init__(self, message: str, *, may_have_happened: bool = False) -> None:
        super().__init__(message)
        self.may_have_happened = may_have_happened


class WrongLoop(FlyError, RuntimeError):
    """The client was used in another event loop, under trio, or after a fork. Nothing was sent."""


class Abandoned(FlyError):
    """The caller cancelled the request before it was sent, or before it was retried after a failure."""

    def __init__(self, message: str, *, may_have_happened: bool = False) -> None:
        super().__init__(message)
        self.may_have_happened = may_have_happened


class CallFailed(FlyError):
    """A call that reached the network: `operation` and `identifier` name it.

    `message` is what went wrong, `advice` what may help. `command_advice` replaces the advice in the command
    `flyasync`, if its terms differ from those of Python. In a message an HTML page is reduced to one line, and any
    other text is cut at 64 kB.
    """

    advice: str = ""
    command_advice: str | None = None
    doubt: ClassVar[str] = "An earlier attempt may have happened: check before you retry"
    """The sentence that the error's text contains if it `may_have_happened`."""
    relief: ClassVar[str] = ""
    """The sentence that the error's text contains otherwise."""

    def __init__(self, operation: str, identifier: str, message: str, *, advice: str | None = None) -> None:
        message = brief(message)
        super().__init__(operation, identifier, message)
        self.operation = operation
        self.identifier = identifier
        self.message: str = message
        if advice is not None:
            self.advice = advice

    def explained(self, advice: str, *, command: str | None = None, message: str | None = None) -> Self:
        """Replace the advice, and the message if one is passed, by more specific ones; return itself.

        `command` is the advice in the terms of the command `flyasync`, if it differs.
        """
        self.advice, self.command_advice = advice, command
        self.message = self.message if message is None else brief(message)
        return self

    def _text(self) -> str:
        return self._advised(self.advice)

    @property
    def for_command(self) -> str:
        """The text with the advice for the command `flyasync`, where `str()` has the advice for Python."""
        return readable(self._advised(self.advice if self.command_advice is None else self.command_advice))

    def _advised(self, advice: str) -> str:
        problem = f"{self.operation} {self.identifier}: {self.message}{self._details()}"
        return ". ".join(filter(None, [problem, self.doubt if self.may_have_happened else self.relief, advice]))

    def _details(self) -> str:
        return ""


class Unanswered(CallFailed):
    """A request that got no response."""

    may_have_happened = True
    doubt = "The request may have happened: check before you retry"
    relief = "The request changes nothing and is safe to retry"


class ConnectFailed(Unanswered):
    """No connection was made, so nothing happened. `is_temporary` is whether a retry may help."""

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
    """The connection broke before the response was complete. The request may have happened."""


class NoReplyInTime(Unanswered):
    """No response arrived within the timeout. The request may have happened."""


class Refused(CallFailed):
    """A response with an error status.

    `status` is the HTTP status, `code` the API's error code, if any, `message` the text of the response, and
    `request_id` the id that Fly.io's support asks for.

    `clears_within` is the number of seconds within which a temporary refusal usually clears by itself. The client
    retries for that long before it raises the error. It is 0 for a permanent refusal.
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
        """Record the seconds within which the refusal clears by itself, 0 for never; return itself."""
        self.clears_within = within
        return self

    def _details(self) -> str:
        code = f" {self.code}" if self.code else ""
        request = f", request {self.request_id}" if self.request_id else ""
        return f" (HTTP {self.status}{code}{request})"


class BadRequest(Refused):
    """The request itself is wrong (400, 422). Sending it again does not help."""

    advice = "Correct the request: sending it again unchanged does not help"


class Unauthorized(Refused):
    """The token is missing, malformed, expired or unknown (401)."""

    advice = "Create a new token with: fly tokens create deploy"


class Forbidden(Refused):
    """The token has no access to the resource (403), or the app belongs to another organization."""

    advice = "Check the name, which may belong to another organization, or use a token that has access"


class NotFound(Refused):
    """The resource does not exist (404), or no longer exists (410).

    `what` is "app" or "machine" where the API names it. The API sometimes returns a wrong 404 for a machine, so the
    client confirms it by a second request before it raises this error.
    """

    advice = "Check the name. The API may return old data for some seconds after a create or a delete"

    def __init__(self, *args: Any, what: Literal["app", "machine"] | None = None, **details: Any) -> None:
        super().__init__(*args, **details)
        self.what = what
        if what == "machine":
            self.clears_within = 2.0


class ImageNotFound(Refused):
    """The registry does not have the image. An image that was just pushed is usually found within seconds."""

    clears_within = 60.0
    advice = "Check the name and tag of the image, and that it was pushed: a new image would have been found by now"


class Conflict(Refused):
    """The request is not possible in the present state (409, 412). The subclasses name the reason."""

    advice = "Check the current state before you retry"


class LeaseHeld(Conflict):
    """Another client holds the machine's lease. The Fly Proxy acquires short leases too."""

    advice = "Wait until it expires, or pass the nonce of the lease you hold"
    command_advice = "Wait until it expires, or release it: flyasync machines lease clear"

    def __init__(self, *args: Any, holder: str | None = None, expires_at: str | None = None, **details: Any) -> None:
        super().__init__(*args, **details)
        self.holder = holder
        self.expires_at = expires_at


class NameTaken(Conflict):
    """The name is in use. `existing_id` is the id of the machine that has it, where the API returns one."""

    advice = "Choose another name, or use the resource that has this name"

    def __init__(self, *args: Any, existing_id: str | None = None, **details: Any) -> None:
        super().__init__(*args, **details)
        self.existing_id = existing_id


class AlreadyStarting(Conflict):
    """The machine is already starting or started."""

    advice = "Wait for the state `started`"


class WrongState(Conflict):
    """The machine's state does not allow this action now."""

    advice = "Wait for the machine to settle, then try again"


class NotSettled(WrongState):
    """The machine is changing its state or has just changed it, and will allow the action soon."""

    clears_within = 30.0


class StaleVersion(Conflict):
    """Another client changed the machine since it was read."""

    advice = "Read the machine again, and apply the change to the current version"


class VolumeInUse(Conflict):
    """Another machine holds the volume: `machine_id`."""

    advice = "Destroy that machine first, or use another volume"

    def __init__(self, *args: Any, machine_id: str | None = None, **details: Any) -> None:
        super().__init__(*args, **details)
        self.machine_id = machine_id


class ClaimLingers(VolumeInUse):
    """The machine that held the volume no longer exists, but its claim is not cleared yet, which may take minutes."""

    clears_within = 120.0
    advice = "Try again in a few minutes, or use another volume"


class SecretsNotReady(Conflict):
    """The requested version of the secrets has not reached this app's machines yet."""

    clears_within = 60.0
    advice = "Try again in a moment"


class RateLimited(Refused):
    """Too many requests for one action on one identifier (429).

    `retry_after` is the number of seconds to wait: the API's Retry-After, or the rest of a pause during which the call
    was not sent. It is None if the API returned no valid Retry-After.
    """

    advice = "Another process uses the same limit: 1 request per second for each action and identifier"

    def __init__(self, *args: Any, retry_after: float | None = None, **details: Any) -> None:
        super().__init__(*args, **details)
        self.retry_after = retry_after

    def pausing(self, seconds: float) -> Self:
        """Record the seconds that remain of the pause that blocks the call; return itself."""
        self.retry_after = seconds
        return self

    def _details(self) -> str:
        when = "" if self.retry_after is None else f": retry after {round(self.retry_after, 1):g} s"
        return f"{super()._details()}{when}"


class Scope(StrEnum):
    """What has no capacity; the remedy depends on it."""

    REGION = "region"  # the whole region is full: use another region
    HOST = "host"  # the machine's host is full: create another machine, which may be placed on another host
    VOLUME_HOST = "volume host"  # the volume's host is full: fork the volume, or create another one
    QUOTA = "quota"  # the organization's quota in this region is used up: use another region, or ask for more


class NoCapacity(Refused):
    """There is no capacity. `scope` is what is full, and so determines what can help."""

    def __init__(self, *args: Any, scope: Scope, **details: Any) -> None:
        super().__init__(*args, **details)
        self.scope = scope


class TimedOut(Refused):
    """The API gave up on the request (408, 504), which may have happened."""

    may_have_happened = True
    doubt = Unanswered.doubt
    relief = Unanswered.relief


class ServerFault(Refused):
    """The API failed (5xx). The request may have happened."""

    may_have_happened = True
    doubt = Unanswered.doubt
    relief = Unanswered.relief
    advice = "See https://status.flyio.net"


class Unreadable(CallFailed):
    """A response that is not what the API documents. Unless it was a read, the request has most likely happened."""

    may_have_happened = True
    doubt = "The request has most likely happened"
    advice = "The base URL may point to something other than the Machines API"

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
    """A GraphQL response that contains errors; its HTTP status is 200.

    `errors` are the errors as received, each with a `message` and often a `path` and a code; `messages`, `codes` and
    `paths` are read from them. `data` is the data of the response. Any part of a mutation may have happened.
    """

    doubt = "Any part of the mutation may have happened: check before you retry"

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
        """The codes of the errors that have one, such as `NOT_FOUND`."""
        details = [error.get("extensions") for error in self.errors]
        return tuple(str(one["code"]) for one in details if isinstance(one, dict) and "code" in one)

    @property
    def paths(self) -> tuple[tuple[Any, ...], ...]:
        """The position of each error in the query, as names and numbers; empty if an error has none."""
        return tuple(tuple(error.get("path") or ()) for error in self.errors)


class NoFreeVolume(FlyError):
    """No volume of this name is free, in `regions` or, if these are empty, in any region. Nothing was created.

    `held` is how many volumes of the name exist there: machines or other creates have them, or the API refused them.
    `free` are other regions with a free one.
    """

    def __init__(self, app: str, name: str, regions: Iterable[str], *, held: int = 0, free: Iterable[str] = ()) -> None:
        self.regions: tuple[str, ...] = tuple(regions)
        self.free: tuple[str, ...] = tuple(sorted(free))
        super().__init__(app, name, self.regions)
        self.app = app
        self.name = name
        self.held = held

    def _text(self) -> str:
        region = self.regions[0] if self.regions else "…"
        return self._advised(f"fly.volumes.create({self.app!r}, name={self.name!r}, region={region!r})")

    @property
    def for_command(self) -> str:
        """The text with the command that creates a volume, where `str()` names the method."""
        region = self.regions[0] if self.regions else "CODE"
        return readable(self._advised(f"flyasync volumes create {self.app} {self.name} --region {region}"))

    def _advised(self, create: str) -> str:
        where = f" in {' or '.join(self.regions)}" if self.regions else ""
        if self.held == 1:
            why = "the only one is taken"
        else:
            why = f"all {self.held} are taken" if self.held else "there is none"
        elsewhere = f", but there are free ones in {', '.join(self.free)}" if self.free else ""
        return f"{self.app} has no free volume {self.name}{where}: {why}{elsewhere}. Create one with: {create}"


class IncompleteList(FlyError):
    """A list without the `error_regions`. A resource that is missing from the list may exist in one of them."""

    def __init__(self, operation: str, identifier: str, error_regions: Iterable[str]) -> None:
        self.error_regions: tuple[str, ...] = tuple(error_regions)
        super().__init__(operation, identifier, self.error_regions)
        self.operation = operation
        self.identifier = identifier

    def _text(self) -> str:
        return f"{self.for_command}, or pass on_error_regions= to continue without these regions"

    @property
    def for_command(self) -> str:
        """The text without the argument that Python has for it."""
        return readable(
            f"{self.operation} {self.identifier}: the list is incomplete, because the API could not read "
            f"{', '.join(self.error_regions)}. Retry later"
        )


class WaitFailed(FlyError):
    """A wait that timed out, or whose machine can no longer reach the state.

    `state` is the last state seen, `wanted` the state waited for. `hopeless` is True if the machine can no longer reach
    it.
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
        return self._advised(f"fly.machines.events({self.app!r}, {self.machine_id!r})")

    @property
    def for_command(self) -> str:
        """The text with the command that lists the machine's events, where `str()` names the method."""
        return readable(self._advised(f"flyasync machines events {self.app} {self.machine_id}"))

    def _advised(self, events: str) -> str:
        return (
            f"machine {self.machine_id} of {self.app} is {self.state}, not {self.wanted}: {self.reason}. "
            f"See its events: {events}"
        )


class PoolExhausted(FlyError):
    """A claim that got no machine of its pool within its timeout: all are claimed, or none could be created or started.

    Also raised if another claim of the same key lasted longer. `machines` and `claimed` are what the last list showed;
    `refusal` is the error of the last attempt, if any.
    """

    def __init__(
        self, app: str, pool: str, seconds: float, *, most: int, machines: int, claimed: int, refusal: FlyError | None
    ) -> None:
        super().__init__(app, pool, seconds)
        self.app = app
        self.pool = pool
        self.seconds = seconds
        self.most = most
        self.machines = machines
        self.claimed = claimed
        self.refusal = refusal

    def _text(self) -> str:
        cause = f"; the last attempt failed: {self.refusal}" if self.refusal else ""
        return (
            f"no machine of the pool {self.pool} of {self.app} could be claimed within {self.seconds:g} s: "
            f"{self.claimed} of its {self.machines} machines are claimed, and it may have {self.most}{cause}"
        )


class FileNotCopied(FlyError):
    """A file that could not be copied into or out of a machine, since the command there failed."""

    def __init__(self, machine_id: str, path: str, exit_code: int | None, stderr: str) -> None:
        super().__init__(machine_id, path, exit_code, stderr)
        self.machine_id = machine_id
        self.path = path
        self.exit_code = exit_code
        self.stderr = stderr

    def _text(self) -> str:
        problem = f"exit code {self.exit_code}: {brief(self.stderr)}"
        return f"{self.path} of machine {self.machine_id} was not copied: {problem}"


class JobLost(FlyError):
    """A deploy whose executor lost track of it. Machines of its `launch` may have been created or changed."""

    may_have_happened = True

    def __init__(self, app: str, launch: str, reason: str) -> None:
        super().__init__(app, launch, reason)
        self.app = app
        self.launch = launch
        self.reason = reason

    def _text(self) -> str:
        return (
            f"the deploy of {self.app} was lost: {self.reason}. Machines may have been created or changed: deploy "
            f"again with launch {self.launch}, which finds and reuses them"
        )


class DeployFailed(FlyError):
    """A deploy whose report is not ok. `report` has its status, and lists what runs, what does not, and why."""

    may_have_happened = True

    def __init__(self, report: Any) -> None:
        super().__init__(report)
        self.report = report

    def _text(self) -> str:
        return str(self.report)
