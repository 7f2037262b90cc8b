"""Which hosts the emulator serves: a web page in a browser must neither read nor change the emulated world."""

import ipaddress
import re
from collections.abc import Iterable
from functools import lru_cache
from typing import Literal, Self
from urllib.parse import SplitResult, urlsplit

from aiohttp import web
from attrs import field, frozen

from flyasync.emulator.core.errors import ApiError

_NAME = re.compile(r"[a-z0-9]([a-z0-9.-]*[a-z0-9])?")
_DEFAULT_PORTS = {"http": 80, "https": 443}


@frozen
class AllowedHosts:
    """The address that the emulator listens on, and the names that it serves in addition.

    A browser sends requests of any page to 127.0.0.1, and a page whose own name resolves to 127.0.0.1 can also read the
    responses (DNS rebinding). Therefore `Host` must be a loopback address, the address of the emulator, or an allowed
    name, and `Origin`, if present, must be that of the emulator or of an allowed name. On 0.0.0.0 any IP address is
    accepted as `Host`: rebinding needs a name.
    """

    address: str
    names: frozenset[str] = field(factory=frozenset)
    scheme: Literal["http", "https"] = "http"

    @classmethod
    def of(cls, host: str, allow_hosts: Iterable[str], scheme: Literal["http", "https"] = "http") -> Self:
        """Return the hosts for an IP address or `localhost`, and for host names; raise ValueError for anything else."""
        # A name would be resolved in a thread, which a virtual event loop does not wait for.
        address = "127.0.0.1" if host == "localhost" else host
        if _ip(address) is None:
            raise ValueError(f"host: {host!r} is not an IP address, such as 127.0.0.1 or 0.0.0.0")
        names = frozenset(name.lower() for name in allow_hosts)
        for name in names:
            if not _NAME.fullmatch(name):
                raise ValueError(
                    f"allow_hosts: {name!r} is not a host name without scheme and port, such as emulator.test"
                )
        return cls(address, names, scheme)

    @property
    def local(self) -> str:
        """The address at which a client on this machine reaches the emulator."""
        found = _ip(self.address)
        if found is None or not found.is_unspecified:
            return self.address
        return "::1" if ":" in self.address else "127.0.0.1"

    @property
    def certified(self) -> tuple[str, ...]:
        """The names and addresses that a certificate must cover."""
        return ("localhost", "127.0.0.1", "::1", self.local, *sorted(self.names))

    @property
    def warnings(self) -> list[str]:
        """One sentence for each way in which the emulator can be reached by others."""
        found = _ip(self.address)
        warnings = []
        if found is not None and not found.is_loopback:
            warnings.append(
                f"any client that can reach {self.address} can read and change the emulated world, with any token"
            )
        if self.names:
            warnings.append(f"web pages on {', '.join(sorted(self.names))} can read and change the emulated world")
        return warnings

    def demand(self, request: web.BaseRequest) -> None:
        """Raise 403 for a request to another host, or from a web page of another origin."""
        headers = request.headers
        hosts = headers.getall("Host", [""])
        for host in hosts:
            if not self._serves(_name(host)):
                raise _refused(f"Host {host!r}")
        # Only browsers send these.
        if "Origin" not in headers and "Sec-Fetch-Site" not in headers:
            return
        origins = headers.getall("Origin", [])
        for origin in origins:
            port = _port(_split(f"{self.scheme}://{hosts[0]}"))
            # Allowed: a page on an allowed name, or on the address and port of the emulator.
            page = _split(origin)
            is_served = page.scheme == self.scheme and self._serves(page.hostname or "")
            if page.hostname not in self.names and not (is_served and port is not None and _port(page) == port):
                raise _refused(f"Origin {origin!r}")
        # A link or an image on another site sends a GET without Origin, but with Sec-Fetch-Site.
        is_allowed = any(_split(origin).hostname in self.names for origin in origins)
        if headers.get("Sec-Fetch-Site", "").strip().lower() == "cross-site" and not is_allowed:
            raise _refused("web pages of another site")

    def _serves(self, host: str) -> bool:
        if host in {self.address, "localhost"} or host in self.names:
            return True
        found, bound = _ip(host), _ip(self.address)
        # A name that is not allowed is refused, whatever it resolves to: a page could choose it.
        if found is None or bound is None:
            return False
        return found.is_loopback or found == bound or bound.is_unspecified


def _refused(what: str) -> ApiError:
    return ApiError(403, f"the emulator does not serve {what}; to allow a host name, start it with --allow-host NAME")


# Cached: every request has one of a few hosts.
@lru_cache(maxsize=256)
def _ip(text: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    try:
        return ipaddress.ip_address(text)
    except ValueError:
        return None


# Cached, as above.
@lru_cache(maxsize=256)
def _name(host: str) -> str:
    """Return the name or address in a `Host` header."""
    return _split(f"//{host}").hostname or ""


def _split(url: str) -> SplitResult:
    try:
        return urlsplit(url)
    except ValueError:
        return urlsplit("")


def _port(url: SplitResult) -> int | None:
    try:
        return url.port or _DEFAULT_PORTS.get(url.scheme)
    except ValueError:
        return None
