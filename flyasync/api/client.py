"""FlyClient: one session, and the resources that hang off it."""

from types import TracebackType
from typing import Self

from flyasync.api.apps import Apps
from flyasync.api.call import Caller
from flyasync.api.leases import Leases
from flyasync.api.machines import Machines
from flyasync.api.platform import Platform
from flyasync.api.volumes import Volumes
from flyasync.wire.credentials import find_base_url, find_token
from flyasync.wire.events import OnAttempt, log_attempt
from flyasync.wire.limits import Buckets, Limits
from flyasync.wire.retries import RetryPolicy
from flyasync.wire.sender import Sender
from flyasync.wire.session import Session, Timeouts


class FlyClient:
    """The Machines API of Fly.io, for one token.

        async with FlyClient() as fly:
            for machine in await fly.machines.list("web"):
                print(machine.id, machine.state, machine.region)

    The token is the one given, else `FLY_ACCESS_TOKEN`, else `FLY_API_TOKEN`, else the one in flyctl's `config.yml`;
    MissingToken says where it looked. The API is at `base_url`, else `FLY_FLAPS_BASE_URL`, else `FLY_API_HOSTNAME`,
    else https://api.machines.dev; an http URL is refused unless it stays on this machine or ends in `.internal`.

    Every call waits for its turn under the published rate limits (`limits`), is tried again where that is safe
    (`retry`), and is bounded in time (`timeout`: seconds for one exchange, or `Timeouts`). `on_attempt` is called with
    an `Attempt` after each request that left; the default writes them to the logger `flyasync`.

    Use one client per event loop, and one for all tasks in it: the limits are counted in it. Leaving the block, or
    `aclose()`, lets calls under way finish for up to 5 seconds; waits are cut.
    """

    def __init__(
        self,
        token: str | None = None,
        *,
        base_url: str | None = None,
        limits: Limits | None = None,
        retry: RetryPolicy | None = None,
        timeout: float | Timeouts = 30.0,
        on_attempt: OnAttempt = log_attempt,
    ) -> None:
        self.base_url = find_base_url(base_url)
        timeouts = timeout if isinstance(timeout, Timeouts) else Timeouts(reply=timeout)
        policy = retry or RetryPolicy()
        session = Session(self.base_url, find_token(token), timeouts)
        self._sender = Sender(session, Buckets(limits or Limits()), policy, on_attempt)
        caller = Caller(self._sender)
        self.apps = Apps(caller)
        self.machines = Machines(caller, policy)
        self.leases = Leases(caller)
        self.volumes = Volumes(caller)
        self.platform = Platform(caller)

    def __repr__(self) -> str:
        return f"FlyClient(base_url={self.base_url!r})"

    async def aclose(self, *, grace: float = 5.0) -> None:
        """Close the connections, after giving calls under way up to `grace` seconds to finish.

        A call that is cut raises ClientClosed, whose `may_have_happened` says what it may have left behind.
        """
        await self._sender.close(grace=grace)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self.aclose()
