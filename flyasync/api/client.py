"""FlyClient: the client, and its resources.

Each resource is imported on first use, with the models that only it needs, so that a script loads only what it uses.
"""

import asyncio
import math
import os
from collections.abc import Iterable, Iterator, Mapping
from functools import cached_property
from types import TracebackType
from typing import TYPE_CHECKING, Any, Final, Self

from attrs import asdict, evolve

from flyasync.api.spans import Spans
from flyasync.cancellation import unscoped
from flyasync.errors import InvalidInput, MissingToken
from flyasync.safe_text import hidden
from flyasync.transport.credentials import SOCKET, Token, find_api_url, find_base_url, find_token, is_here
from flyasync.transport.events import OnClientEvent, log_event
from flyasync.transport.ratelimit.buckets import Buckets
from flyasync.transport.ratelimit.rates import Limits, Rate
from flyasync.transport.ratelimit.stores import make_limiters
from flyasync.transport.retries import RetryPolicy
from flyasync.transport.sender import Sender
from flyasync.transport.session import MAX_ANSWER, Session, Timeouts

if TYPE_CHECKING:
    from flyasync.api.apps import Apps
    from flyasync.api.certificates import Certificates
    from flyasync.api.graphql import GraphQL
    from flyasync.api.images import Images
    from flyasync.api.ip_assignments import IPAssignments
    from flyasync.api.logs import Logs
    from flyasync.api.machines.leases import Leases
    from flyasync.api.machines.machines import Machines
    from flyasync.api.orgs import Orgs
    from flyasync.api.platform import Platform
    from flyasync.api.postgres import Postgres
    from flyasync.api.resource import Caller
    from flyasync.api.secret_keys import SecretKeys
    from flyasync.api.secrets import Secrets
    from flyasync.api.tokens import Tokens
    from flyasync.api.volumes import Volumes
    from flyasync.models.machine import Machine
    from flyasync.models.volume import Volume
    from flyasync.transport.recording import Recording

COMPANION: Final = Limits(default=Rate(per_second=16, burst=16))
"""The limits for api.fly.io, which publishes none: the rate at which flyctl polls logs."""


RECORD_BYTES: Final = 64 << 20
"""The default bound of a recording in bytes."""


class FlyClient:
    """The Machines API of Fly.io, for one token.

        async with FlyClient() as fly:
            for machine in await fly.machines.list("web"):
                print(machine.id, machine.state, machine.region)

    Every call waits for a permit of the published rate limits, is retried where that is safe, and is bounded in time.
    The token, and secrets that were sent, are redacted in errors if they have 8 characters or more.

    Use one client per event loop, for all its tasks: the client counts the requests for the limits. Leaving the block,
    or `aclose()`, lets running calls finish for up to 5 seconds; waits are cut.

    Args:
        token: by default `FLY_ACCESS_TOKEN`, then `FLY_API_TOKEN`, then the token in flyctl's `config.yml`. If there is
            none, MissingToken lists the places that were searched.
        base_url: the URL of the Machines API; by default `FLY_FLAPS_BASE_URL`, then `FLY_API_HOSTNAME`, then
            https://api.machines.dev. An http URL is refused unless it stays on this machine or ends in `.internal`.
            Inside a machine, `unix:///.fly/api` needs no token.
        api_url: the URL of GraphQL and the logs, under the same condition; by default `FLY_API_BASE_URL`, then
            https://api.fly.io. If the Machines API is on this machine, the default is its URL.
        limits: the rate limits, by default the published ones. If several processes or hosts call the API for the same
            apps, let them share the limits: pass `"file"` or `"redis://HOST:PORT/DB"`, or set `FLYASYNC_LIMITS` in the
            environment (see `Limits.shared`).
        retry: how often and for how long a call is retried.
        timeout: seconds for one exchange, or `Timeouts` for each kind of call.
        max_answer: the maximum size of a response in bytes, after decompression; a larger one raises Unreadable.
        on_event: called with each `ClientEvent`: an `Attempt` after each request that was sent, its time in the queue,
            a 429 that pauses a limit, and the state of shared limits. The default writes them to the logger `flyasync`.
        record: a file for a recording of each exchange and deploy, which `flyasync replay` reads. An existing file is
            replaced. Only its owner can read it; values that may be secret are replaced by placeholders.
        record_bytes: the bound of the recording in bytes, where it ends.
    """

    def __init__(
        self,
        token: str | None = None,
        *,
        base_url: str | None = None,
        api_url: str | None = None,
        limits: Limits | str | None = None,
        retry: RetryPolicy | None = None,
        timeout: float | Timeouts = 30.0,
        max_answer: int = MAX_ANSWER,
        on_event: OnClientEvent = log_event,
        record: str | os.PathLike[str] | None = None,
        record_bytes: int = RECORD_BYTES,
    ) -> None:
        token = hidden(token)
        given: tuple[Any, Any, Any] = (limits, retry, max_answer)
        self.limits: Limits
        self.limits, self._policy = _checked(*given)
        self.base_url: str = find_base_url(base_url)
        # If `base_url` is an emulator, the API URL in the environment is ignored.
        environment = dict[str, str]().get if base_url and is_here(self.base_url) else os.getenv
        self.api_url: str = find_api_url(api_url, environment, base_url=self.base_url)
        timeouts = timeout if isinstance(timeout, Timeouts) else Timeouts(reply=timeout)
        own, found = _tokens(token, self.base_url)
        # One session and sender for each host: api.fly.io has limits of its own, and a socket needs no token.
        session = self._session(self.base_url, own, timeouts, max_answer)
        self._calls, self._polls = timeouts.calls, session.polls
        companion = self._session(self.api_url, found and found.whole, timeouts, max_answer)
        self.recording: Recording | None = None
        """The recording, to which deploys add their specs and reports."""
        if record is not None:
            self._policy = _repeatable(self._policy)
            secrets = dict.fromkeys((*session.secrets, *companion.secrets))
            facts = {"base_url": self.base_url, "api_url": self.api_url, "client": _settings(self._policy, timeouts)}
            self.recording = _recording(record, record_bytes, secrets, facts)
        make_limiter, self._shared = make_limiters(self.limits, self.base_url, on_event)
        buckets = Buckets(self.limits, make_limiter, self._policy.spread())
        self._sender = Sender(session, buckets, self._policy, on_event, _secret_texts, recording=self.recording)
        self._companion = Sender(
            companion, Buckets(COMPANION), self._policy, on_event, _secret_texts, recording=self.recording
        )
        self._spans = Spans(on_event)

    def __repr__(self) -> str:
        return f"FlyClient(base_url={self.base_url!r})"

    @cached_property
    def apps(self) -> "Apps":
        """Apps: create, find and delete them."""
        from flyasync.api.apps import Apps

        return Apps(self._caller)

    @cached_property
    def machines(self) -> "Machines":
        """Machines: create, find, change, start, stop and delete them, and wait for them."""
        from flyasync.api.machines.machines import Machines

        return Machines(
            self._caller, self._policy, list_volumes=self._list_volumes, calls=self._calls, polls=self._polls
        )

    @cached_property
    def leases(self) -> "Leases":
        """Leases: the right to change a machine, for one client at a time."""
        from flyasync.api.machines.leases import Leases

        return Leases(self._caller)

    @cached_property
    def volumes(self) -> "Volumes":
        """Volumes: create, find, extend and delete them, and their snapshots."""
        from flyasync.api.volumes import Volumes

        return Volumes(self._caller, self._machine)

    @cached_property
    def secrets(self) -> "Secrets":
        """Secrets of an app: list, set and delete them."""
        from flyasync.api.secrets import Secrets

        return Secrets(self._caller)

    @cached_property
    def secret_keys(self) -> "SecretKeys":
        """Secret keys of an app: create them, and encrypt, decrypt, sign and verify with them."""
        from flyasync.api.secret_keys import SecretKeys

        return SecretKeys(self._caller)

    @cached_property
    def certificates(self) -> "Certificates":
        """Certificates: hostnames of an app, and the validation of their ownership."""
        from flyasync.api.certificates import Certificates

        return Certificates(self._caller)

    @cached_property
    def ip_assignments(self) -> "IPAssignments":
        """Addresses of an app: list, assign and release them."""
        from flyasync.api.ip_assignments import IPAssignments

        return IPAssignments(self._caller)

    @cached_property
    def tokens(self) -> "Tokens":
        """Tokens: which account this one belongs to, and what it allows."""
        from flyasync.api.tokens import Tokens

        return Tokens(self._caller)

    @cached_property
    def orgs(self) -> "Orgs":
        """Organizations that the token can see."""
        from flyasync.api.orgs import Orgs

        return Orgs(self._graphql)

    @cached_property
    def images(self) -> "Images":
        """Images: the digest that a tag points to."""
        from flyasync.api.images import Images

        return Images(self._graphql)

    @cached_property
    def logs(self) -> "Logs":
        """Logs: what the machines of an app write."""
        from flyasync.api.logs import Logs

        return Logs(self._beside)

    @cached_property
    def platform(self) -> "Platform":
        """The platform: its regions, and which of them have capacity."""
        from flyasync.api.platform import Platform

        return Platform(self._caller)

    @cached_property
    def postgres(self) -> "Postgres":
        """Managed Postgres: clusters, their databases and users."""
        from flyasync.api.postgres import Postgres

        return Postgres(self._caller)

    @cached_property
    def _caller(self) -> "Caller":
        from flyasync.api.resource import Caller

        return Caller(self._sender)

    @cached_property
    def _beside(self) -> "Caller":
        from flyasync.api.resource import Caller

        return Caller(self._companion)

    @cached_property
    def _graphql(self) -> "GraphQL":
        from flyasync.api.graphql import GraphQL

        return GraphQL(self._beside)

    @property
    def spans(self) -> Spans:
        """The spans that show `on_event` what requests belong to; used by deploys."""
        return self._spans

    def _session(self, url: str, token: Token | None, timeouts: Timeouts, max_answer: int) -> Session:
        """Return the session with one host; in a replay, one whose connections break as recorded."""
        return Session(url, token, timeouts, max_answer=max_answer)

    async def _machine(self, app: str, machine_id: str) -> "Machine":
        # Volumes rarely read a machine, so `machines` is imported only then.
        return await self.machines.get(app, machine_id)

    async def _list_volumes(self, app: str) -> "tuple[Volume, ...]":
        # Few machines have a volume that is given by its name.
        return await self.volumes.list(app)

    async def graphql(self, query: str, variables: Mapping[str, Any] | None = None) -> dict[str, Any]:
        """Send a query to the GraphQL API at `api_url`, for what REST lacks, and return the `data` of the response.

        Fly.io does not promise its stability. Raises GraphQLFailed, with messages, codes and paths, for a response with
        errors. A query is repeated after a lost response, a mutation is not. Pass secrets as `variables`, not in the
        text of the query.
        """
        query, variables = hidden(query), hidden(variables)
        return await self._graphql.ask(query, variables)

    async def aclose(self, *, grace: float = 5.0) -> None:
        """Let running calls finish for up to `grace` seconds, then close the connections.

        A call that is cut raises ClientClosed, whose `may_have_happened` shows whether it may have been carried out.
        """
        with unscoped():
            try:
                await asyncio.gather(self._sender.close(grace=grace), self._companion.close(grace=grace))
            finally:
                # Closed last, since calls that finish during the grace period count in the shared limits.
                if self._shared:
                    await self._shared.close()
            if self.recording:
                self.recording.close()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self.aclose()


def _repeatable(policy: RetryPolicy) -> RetryPolicy:
    """Return a policy with a seed, so that a replay pauses as long as the recorded client."""
    return evolve(policy, seed=int.from_bytes(os.urandom(4))) if policy.seed is None else policy


def _settings(policy: RetryPolicy, timeouts: Timeouts) -> dict[str, Any]:
    finite = {name: value for name, value in asdict(policy).items() if value != math.inf}
    return {"retry": finite, "timeout": asdict(timeouts)}


def _recording(
    path: str | os.PathLike[str], max_bytes: int, secrets: Iterable[str], facts: Mapping[str, Any]
) -> "Recording":
    # Imported here: few clients are recorded.
    from flyasync.api.placeholders import Placeholders
    from flyasync.transport.recording import Recording

    return Recording(path, Placeholders(secrets), max_bytes=max_bytes, facts=facts)


def _secret_texts(body: Any) -> Iterator[str]:
    # Imported here, with the models of a machine's config.
    from flyasync.models.redaction import secret_texts

    return secret_texts(body)


def _checked(limits: Any, retry: Any, max_answer: Any) -> tuple[Limits, RetryPolicy]:
    """Return the limits and the retry policy, with the defaults for None. Raise InvalidInput for wrong types."""
    if limits is None or isinstance(limits, str):
        limits = Limits(shared=limits)
    if not isinstance(limits, Limits):
        raise InvalidInput(f"limits is {limits!r}, but must be Limits, or the name of a store, such as 'file'")
    retry = RetryPolicy() if retry is None else retry
    if not isinstance(retry, RetryPolicy):
        raise InvalidInput(f"retry is {retry!r}, but must be a RetryPolicy, such as RetryPolicy(attempts=3)")
    # Refuse True, which is an int.
    if type(max_answer) is not int or max_answer < 1:
        raise InvalidInput(f"max_answer is {max_answer!r}, but must be a whole number of bytes, 1 or more")
    return limits, retry


def _tokens(given: str | None, base_url: str) -> tuple[Token | None, Token | None]:
    """Return the token for the Machines API and the one for api.fly.io; a machine's socket needs none."""
    if not base_url.startswith(SOCKET):
        token = find_token(given)
        return token, token
    try:
        found = find_token(given)
    except MissingToken:
        found = None
    # The socket authenticates as its machine; a token is sent to it only if it was passed explicitly.
    return (None if given is None else found), found
