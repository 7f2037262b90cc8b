"""The published rates as one table.

The API counts requests per action and identifier: 1 a second with bursts to 3; 5 a second with bursts to 10 for
getting a machine; 100 app deletions a minute on top (docs: machines/api/working-with-machines-api, "Rate limits").
"""

import math
import re
from collections.abc import Mapping
from difflib import get_close_matches
from typing import Any, Final

from attrs import Attribute, Factory, field, frozen, validators

from flyasync.errors import InvalidInput
from flyasync.transport.validators import at_least, more_than, whole

LONGEST_PAUSE: Final = 86_400.0
"""The longest valid pause in seconds. A longer one is ignored: an error of the API, or corrupt data in a store."""

_ACTIONS = {
    "apps": "create create_deploy_token delete get list",
    "certificates": "check create_acme create_custom delete delete_acme delete_custom get list",
    "ip_assignments": "create delete list",
    "leases": "acquire get release",
    "machines": (
        "cordon create delete delete_metadata events exec get get_metadata list list_org memory metadata "
        "patch_metadata ps put_metadata reclaim_memory restart set_memory set_metadata signal start stop suspend "
        "uncordon update versions wait"
    ),
    "platform": "placements regions",
    "postgres": (
        "attach create create_backup create_database create_user delete delete_database delete_user detach "
        "disable_extension enable_extension fork get list list_active_queries list_backups list_databases "
        "list_extensions list_slow_queries list_users restore rotate_password update_user_role user_credentials"
    ),
    "secret_keys": "decrypt delete encrypt generate get list set sign verify",
    "secrets": "delete get list set update",
    "tokens": "authenticate authorize current kms oidc",
    "volumes": "create create_snapshot delete extend get list list_org snapshots update",
}
OPERATIONS: Final = frozenset(f"{noun}.{verb}" for noun, verbs in _ACTIONS.items() for verb in verbs.split())
"""The operations that have a rate, by their names in errors and events."""


@frozen(kw_only=True)
class Rate:
    """A published rate: `per_second` in the long run, and bursts of `burst` requests, of which `spare` are not used.

    `spare` is a margin against network jitter, and need not be a whole number. Requests are sent on schedule, but a
    bucket that is used exactly at its limit overflows if a burst arrives late. With a margin of `spare` requests, their
    arrival times may shift by `spare / per_second` seconds without a 429. Each burst then takes that much longer; the
    long-run rate is the published one.
    """

    per_second: float = field(validator=more_than(0))
    burst: int = field(validator=whole(1))
    spare: float = field(default=0.0, validator=at_least(0))

    @spare.validator
    def _leave_one(self, _: "Attribute[float]", spare: float) -> None:
        if spare > self.burst - 1:
            raise InvalidInput(
                f"Rate.spare is {spare!r}, but must leave at least one request of the burst of {self.burst}"
            )

    @property
    def usable(self) -> float:
        """How many requests may be sent at once; if this is a fraction, the next one waits for the missing part."""
        return self.burst - self.spare

    @property
    def refill(self) -> float:
        """Seconds until an empty bucket is full."""
        return self.usable / self.per_second

    @property
    def patience(self) -> float:
        """Seconds for which a permit is valid: half of the margin, or one interval if there is no margin.

        The other half of the margin is left for network jitter.
        """
        return (self.spare / 2 or 1) / self.per_second

    @property
    def interval(self) -> int:
        """Whole microseconds from one request to the next in the long run, rounded up."""
        return math.ceil(1_000_000 / self.per_second)

    @property
    def room(self) -> int:
        """Whole microseconds by which a bucket may run ahead: one interval per request that may be sent at once."""
        return round(self.usable * self.interval)


def _rates_of_operations(_: "Limits", attribute: "Attribute[Any]", value: Any) -> None:
    where = f"Limits.{attribute.name}"
    if not isinstance(value, Mapping):
        raise InvalidInput(f"{where} is {value!r}, but must map operations to rates: {{'machines.start': Rate(…)}}")
    for operation, rate in value.items():
        if operation not in OPERATIONS:
            close = get_close_matches(str(operation), OPERATIONS, n=1)
            instead = f"did you mean {close[0]!r}?" if close else "use the names in errors, such as 'machines.start'"
            raise InvalidInput(f"{where} has a rate for {operation!r}, which is not an operation of the API: {instead}")
        if not isinstance(rate, Rate):
            raise _no_rate(f"{where}[{operation!r}]", rate)


def _no_rate(where: str, value: object) -> InvalidInput:
    return InvalidInput(f"{where} is {value!r}, but must be a Rate, such as Rate(per_second=1, burst=3)")


@frozen(kw_only=True)
class Limits:
    """How fast a client may send requests: one rate for each operation and identifier.

    `default` is the rate of all operations except those in `operations`; `totals` bounds an operation over all
    identifiers together. Operations have the names that errors and events show. Raises InvalidInput for an unknown name
    and for a value that is not a Rate.

    The defaults are the published limits, with a margin for one second of jitter (0.4 s for getting a machine, 0.5 s
    for creating one). Each burst takes that much longer: 60 creates in one app take 57.5 s, where the published limit
    allows 57 s. A margin of a whole request also leaves room for one request of another client.

    `shared` is the store in which several clients count their requests together, as the API does:

    - `"memory"`: only this client; the default.
    - `"file"` or `"file:DIRECTORY"`: the processes of one host, by locked files. The default directory belongs to this
      user, in the system's temporary directory. Pass an absolute path for processes of several users, all of which need
      write access, and for services with a private /tmp. Network file systems are not supported.
    - `"redis://HOST:PORT/DB"`, `"rediss://…"` with TLS, `"unix://PATH"`: the processes of many hosts, by a Redis or
      Valkey server. The URL may contain a user and password, which are never shown. `?namespace=NAME` separates
      budgets. Needs `pip install 'flyasync[redis]'`.

    If `shared` is None, the environment variable `FLYASYNC_LIMITS` is used. Waiting clients form one queue, so all get
    the same share, and a 429 of one client pauses all. A store that is new or was restarted begins with empty buckets.

    A store that does not respond within half a second is lost. Until it is back, each client uses its own share of each
    rate, `1/n`, where n is the number of workers seen in the last minute, and at least `workers`. The event
    `LimitsLost` is emitted once, and `LimitsBack` when the store is back; the default observer logs both as warnings. A
    client that reconnects sends nothing for two seconds, until all others have noticed, and then reports what it sent
    meanwhile. If only some clients lose the store, the others do not count the requests of these until they reconnect.
    A server that evicts keys (`maxmemory-policy`) forgets recent requests: use one that does not.
    """

    default: Rate = field(default=Rate(per_second=1, burst=3, spare=1))
    operations: Mapping[str, Rate] = field(
        validator=_rates_of_operations,
        default=Factory(
            lambda: {
                # A launch takes as long as its creates, and usually no other client creates machines in the app then.
                "machines.create": Rate(per_second=1, burst=3, spare=0.5),
                "machines.get": Rate(per_second=5, burst=10, spare=2),
            }
        ),
    )
    totals: Mapping[str, Rate] = field(
        validator=_rates_of_operations,
        default=Factory(
            lambda: {
                # At most burst + 60 * per_second = 100 in any minute, wherever the API's minute begins.
                "apps.delete": Rate(per_second=1.5, burst=10),
            }
        ),
    )

    shared: str | None = field(
        default=None,
        validator=validators.optional(validators.instance_of(str)),
        repr=lambda text: repr(without_password(text)),
    )
    workers: int = field(default=1, validator=whole(1))

    @default.validator
    def _demand_rate(self, attribute: "Attribute[Any]", value: Any) -> None:
        if not isinstance(value, Rate):
            raise _no_rate(f"Limits.{attribute.name}", value)

    def rate(self, operation: str) -> Rate:
        """Return the rate of one operation on one identifier."""
        return self.operations.get(operation, self.default)


def without_password(url: str | None) -> str | None:
    """Return a URL for display, without any part that may belong to a user name or password."""
    before, found, host = (url or "").rpartition("@")
    if not found:
        return url and re.split(r"[?#]", url)[0]
    scheme = re.match(r"(\w+:(//)?)?", before)
    # After a query, the text behind the last @ may be part of a password too.
    return f"{scheme[0] if scheme else ''}***" + (
        "" if re.search(r"[?#]", before) else f"@{re.split(r'[?#]', host)[0]}"
    )
