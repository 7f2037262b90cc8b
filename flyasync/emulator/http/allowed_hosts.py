"""Which hosts the emulator serves: a web page that a browser shows must neither change its world nor read it."""

import ipaddress
import re
from collections.abc import Iterable
from functools import lru_cache
from typing import Self
from urllib.parse import SplitResult, urlsplit

from aiohttp import web
from attrs import field, frozen

from flyasync.emulator.core.errors import ApiError

_NAME = re.compile(r"[a-z0-9]([a-z0-9.-]*[a-z0-9])?")
_HTTP = 80


@frozen
class AllowedHosts:
    """The address that the emulator listens on, and the names that it serves as well.

    A browser sends any page's requests to 127.0.0.1, and a page whose own name resolves to 127.0.0.1 may read the
    answers too. So `Host` must be a loopback address, the address listened on, or a name that was allowed, and
    `Origin`, where there is one, the emulator's own or one of such a name. On 0.0.0.0 any address will do as `Host`:
    a page cannot have an address resolve to another.
    """

    address: str
    names: frozenset[str] = field(factory=frozenset)

    @classmethod
    def of(cls, host: str, allow_hosts: Iterable[str]) -> Self:
        """Read an address or `localhost`, and names; anything else raises ValueError."""
        # A name would be looked up in a thread; both kinds of loop know the address.
        address = "127.0.0.1" if host == "localhost" else host
        if _ip(address) is None:
            raise ValueError(f"host: {host!r} is not an IP address to listen on, such as 0.0.0.0")
        names = frozenset(name.lower() for name in allow_hosts)
        for name in names:
            if not _NAME.fullmatch(name):
                raise ValueError(
                    f"allow_hosts: {name!r} is not a host name, such as emulator.test, without scheme or port"
                )
        return cls(address, names)

    @property
    def local(self) -> str:
        """The address at which a client on this machine reaches the emulator."""
        found = _ip(self.address)
        if found is None or not found.is_unspecified:
            return self.address
        return "::1" if ":" in self.address else "127.0.0.1"

    @property
    def warnings(self) -> list[str]:
        """What opening the emulator means: a sentence for each way in which it is open."""
        found = _ip(self.address)
        warnings = []
        if found is not None and not found.is_loopback:
            warnings.append(f"whoever reaches {self.address} can read and change the emulated world; any token will do")
        if self.names:
            warnings.append(f"web pages of {', '.join(sorted(self.names))} can read and change the emulated world")
        return warnings

    def demand(self, request: web.Request) -> None:
        """Raise 403 for a request for another host, or one that a page of another origin sent."""
        hosts = request.headers.getall("Host", [""])
        origins = request.headers.getall("Origin", [])
        for host in hosts:
            if not self._serves(_split(f"//{host}").hostname or ""):
                raise _refused(f"Host {host!r}")
        for origin in origins:
            port = _port(_split(f"//{hosts[0]}"))
            # A page of a name that is allowed, or of the emulator's own address and port.
            page = _split(origin)
            is_served = page.scheme == "http" and self._serves(page.hostname or "")
            if page.hostname not in self.names and not (is_served and port is not None and _port(page) == port):
                raise _refused(f"Origin {origin!r}")
        # A link or an image of another site sends no Origin with its GET, but browsers say where it comes from.
        is_allowed = any(_split(origin).hostname in self.names for origin in origins)
        if request.headers.get("Sec-Fetch-Site", "").strip().lower() == "cross-site" and not is_allowed:
            raise _refused("a page of another site")

    def _serves(self, host: str) -> bool:
        if host == "localhost" or host in self.names:
            return True
        found, bound = _ip(host), _ip(self.address)
        # A name that was not allowed, whatever it resolves to: that is how a page would get in.
        if found is None or bound is None:
            return False
        return found.is_loopback or found == bound or bound.is_unspecified


def _refused(what: str) -> ApiError:
    return ApiError(403, f"the emulator does not serve {what}; start it with --allow-host NAME to open it to a name")


# The same few hosts come with every request.
@lru_cache(maxsize=256)
def _ip(text: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    try:
        return ipaddress.ip_address(text)
    except ValueError:
        return None


def _split(url: str) -> SplitResult:
    try:
        return urlsplit(url)
    except ValueError:
        return urlsplit("")


def _port(url: SplitResult) -> int | None:
    try:
        return url.port or _HTTP
    except ValueError:
        return None
