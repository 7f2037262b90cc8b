"""Finds a token and a base URL in the places where flyctl looks, in its order."""

import ipaddress
import os
import re
from collections.abc import Callable
from pathlib import Path
from urllib.parse import urlsplit

from attrs import field, frozen

from flyasync.errors import InvalidInput, MissingToken
from flyasync.safe_text import has_control, hidden

PUBLIC_URL = "https://api.machines.dev"
API_URL = "https://api.fly.io"
"""Where GraphQL and the logs live."""
SOCKET = "unix://"
"""What a base URL begins with that is a socket's path, such as `unix:///.fly/api` inside a machine."""
TOKEN_VARIABLES = ("FLY_ACCESS_TOKEN", "FLY_API_TOKEN")
URL_VARIABLES = ("FLY_FLAPS_BASE_URL", "FLY_API_HOSTNAME")
API_URL_VARIABLE = "FLY_API_BASE_URL"

Getenv = Callable[[str], str | None]
"""Reads a variable of the environment, as `os.getenv` does; not a mapping, whose repr would show them all."""

_SCHEMES = ("flyv1", "bearer")
_MACAROONS = ("fm1r", "fm1a", "fm2")
_HOST = re.compile(r"[\w.:-]+")


@frozen
class Token:
    """One or several tokens as one text, joined by commas; never shown."""

    _text: str = field(repr=False)

    @property
    def authorization(self) -> str:
        """The Authorization header: `FlyV1` with the macaroons where there is one, else `Bearer`."""
        items = _items(self._text)
        macaroons = [item for item in items if _is_macaroon(item)]
        return f"FlyV1 {','.join(macaroons)}" if macaroons else f"Bearer {','.join(items)}"

    @property
    def secrets(self) -> tuple[str, ...]:
        """The texts that nothing may show: the whole text, and each token in it."""
        return (_without_scheme(self._text), *_items(self._text))

    @property
    def whole(self) -> "WholeToken":
        """The same tokens, none left out."""
        return WholeToken(self._text)


@frozen
class WholeToken(Token):
    """The same for GraphQL, which also accepts the tokens that are not macaroons."""

    @property
    def authorization(self) -> str:
        """The Authorization header with all tokens, the macaroons first."""
        items = sorted(_items(self._text), key=lambda item: not _is_macaroon(item))
        return f"{'FlyV1' if _is_macaroon(items[0]) else 'Bearer'} {','.join(items)}"


def _is_macaroon(item: str) -> bool:
    return item.split("_", 1)[0] in _MACAROONS


def _items(text: str) -> list[str]:
    return [item.strip() for item in _without_scheme(text).split(",") if item.strip()]


def _without_scheme(text: str) -> str:
    scheme, _, rest = text.strip().partition(" ")
    return _without_scheme(rest) if scheme.lower() in _SCHEMES else text.strip()


def find_token(given: str | None, getenv: Getenv = os.getenv) -> Token:
    """Return the token: the one given, else the environment's, else that of flyctl's `config.yml`.

    Raises MissingToken, naming every place it looked at, and InvalidInput for text that no header can carry.
    """
    if given is not None:
        return _checked(given, "the argument token")
    for name in TOKEN_VARIABLES:
        if (getenv(name) or "").strip():
            return _checked(getenv(name) or "", name)
    folder = getenv("FLY_CONFIG_DIR") or os.path.expanduser("~/.fly")  # noqa: PTH111 - Path.home() raises without one
    file = Path(folder) / "config.yml"
    if text := hidden(_access_token(file)):
        return _checked(text, str(file))
    looked_at = ", ".join(["the argument token", *TOKEN_VARIABLES, f"access_token in {file}"])
    raise MissingToken(
        f"no Fly.io token found; looked at: {looked_at}. "
        "Make one with: export FLY_API_TOKEN=$(fly tokens create deploy -a APP)"
    )


def _checked(text: str, source: str) -> Token:
    """Return the token in a text that a header can carry; the errors do not show the text."""
    text = hidden(text.strip())
    if not _items(text):
        raise MissingToken(f"the token in {source} is empty; make one with: fly tokens create deploy -a APP")
    if not (text.isascii() and text.isprintable()):
        raise InvalidInput(f"the token in {source} holds characters that no HTTP header can carry; copy it again")
    return Token(text)


def _access_token(file: Path) -> str | None:
    """Return flyctl's token: a top-level text of a YAML file as flyctl writes it, on one line, plain or in quotes."""
    try:
        lines = file.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError):
        return None
    for line in lines:
        name, colon, value = line.partition(":")
        if colon and name == "access_token":
            text = value.split(" #")[0].strip().strip("'\"")
            return None if text in {"", "null", "~"} else text
    return None


def find_base_url(given: str | None, getenv: Getenv = os.getenv) -> str:
    """Return the API's root without `/v1`: the one given, else the environment's, else the public one.

    A socket stays `unix:///its/path`. Raises InvalidInput for a URL that would send the token in the clear or that is
    not the root of a host.
    """
    if given is not None:
        return _socket_or_root(given, "the argument base_url")
    for name in URL_VARIABLES:
        if found := (getenv(name) or "").strip():
            return _socket_or_root(found, name)
    return PUBLIC_URL


def find_api_url(given: str | None, getenv: Getenv = os.getenv, *, base_url: str = PUBLIC_URL) -> str:
    """Return the root of GraphQL and the logs: the one given, else `FLY_API_BASE_URL`, else the public one.

    When the API itself is on this machine, at `base_url`, it is not the public API: then they are expected on this
    machine too, whatever the environment says, so that what is meant for an emulator never leaves. Raises InvalidInput
    as `find_base_url` does.
    """
    if given is not None:
        return _root(given, "the argument api_url")
    configured = (getenv(API_URL_VARIABLE) or "").strip()
    found = _root(configured, API_URL_VARIABLE) if configured else API_URL
    return base_url if is_here(base_url) and not is_here(found) else found


def is_here(url: str) -> bool:
    """Whether a URL stays on this machine."""
    return _is_this_machine(urlsplit(url).hostname or "")


def _socket_or_root(url: str, source: str) -> str:
    path = url.strip().removeprefix(SOCKET)
    if path == url.strip():
        return _root(url, source)
    _demand_printable(path, source)
    if not path.startswith("/") or len(path) == 1:
        raise InvalidInput(f"{source} is {url.strip()!r}, but a socket is named by its whole path: {SOCKET}/.fly/api")
    return SOCKET + path


def _root(url: str, source: str) -> str:
    url = url.strip() if "://" in url else f"https://{url.strip()}"
    # Before it is parsed: the parser's error for a broken URL may quote the password.
    if "@" in url:
        raise InvalidInput(f"{source} carries a user or password; pass the token as token=… or in FLY_API_TOKEN")
    _demand_printable(url, source)  # urlsplit passes over line breaks in silence
    try:
        parts = urlsplit(url)
        host, port = parts.hostname or "", parts.port
    except ValueError as error:
        raise InvalidInput(f"{source} is not a URL: {error}; it looks like {PUBLIC_URL}") from error
    shown = repr(re.split("[?#]", url)[0])  # a token has been seen in a query
    if not _HOST.fullmatch(host) or parts.scheme not in {"http", "https"}:
        raise InvalidInput(f"{source} is {shown}, but must be an http or https URL such as {PUBLIC_URL}")
    if parts.path.rstrip("/") not in {"", "/v1"} or parts.query or parts.fragment:
        raise InvalidInput(f"{source} is {shown}, but must end with its host: the API lives at /v1 of the root")
    if parts.scheme == "http" and not (host.endswith(".internal") or _is_this_machine(host)):
        raise InvalidInput(
            f"{source} is {shown}: over plain http the token could be read on the way; use https "
            "(http is accepted for this machine and for hosts ending in .internal)"
        )
    name = f"[{host}]" if ":" in host else host
    return f"{parts.scheme}://{name}" + (f":{port}" if port else "")


def _demand_printable(url: str, source: str) -> None:
    if has_control(url):
        raise InvalidInput(f"{source} holds control characters or a lone surrogate, but no URL can: copy it again")


def _is_this_machine(host: str) -> bool:
    address = ip_of(host)
    return host == "localhost" or (address is not None and address.is_loopback)


def ip_of(host: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    """Return the IP address that a host is, or None for a name."""
    try:
        return ipaddress.ip_address(host)
    except ValueError:
        return None
