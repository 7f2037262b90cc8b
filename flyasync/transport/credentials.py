"""Find the token and the base URL in the places that flyctl searches, in the same order."""

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
"""The host of GraphQL and the logs."""
SOCKET = "unix://"
"""The prefix of a base URL that is the path of a socket, such as `unix:///.fly/api` inside a machine."""
TOKEN_VARIABLES = ("FLY_ACCESS_TOKEN", "FLY_API_TOKEN")
URL_VARIABLES = ("FLY_FLAPS_BASE_URL", "FLY_API_HOSTNAME")
API_URL_VARIABLE = "FLY_API_BASE_URL"

Getenv = Callable[[str], str | None]
"""Returns an environment variable, as `os.getenv` does. Not a mapping, whose repr would show all variables."""

_SCHEMES = ("flyv1", "bearer")
_MACAROONS = ("fm1r", "fm1a", "fm2")
_HOST = re.compile(r"[\w.:-]+")


@frozen
class Token:
    """One or more tokens as one text, joined by commas. Its repr shows none of them."""

    _text: str = field(repr=False)

    @property
    def authorization(self) -> str:
        """The Authorization header: `FlyV1` with the macaroons if there are any, else `Bearer` with all tokens."""
        items = _items(self._text)
        macaroons = [item for item in items if _is_macaroon(item)]
        return f"FlyV1 {','.join(macaroons)}" if macaroons else f"Bearer {','.join(items)}"

    @property
    def secrets(self) -> tuple[str, ...]:
        """The texts to redact: the whole text, and each token in it."""
        return (_without_scheme(self._text), *_items(self._text))

    @property
    def whole(self) -> "WholeToken":
        """The same tokens, all of which go into the header."""
        return WholeToken(self._text)


@frozen
class WholeToken(Token):
    """Tokens for GraphQL, which also accepts those that are not macaroons."""

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
    """Return the token: `given`, else the environment's, else the one in flyctl's `config.yml`.

    Raises MissingToken with the places that were searched, and InvalidInput for a text that no header can contain.
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
    create = "create one with: export FLY_API_TOKEN=$(fly tokens create deploy -a APP)"
    raise MissingToken(
        f"no Fly.io token found in {', '.join(TOKEN_VARIABLES)}, or as access_token in {file}",
        python=f"pass one as token, or {create}",
        command=create,
    )


def _checked(text: str, source: str) -> Token:
    """Return the token in a text. Raise MissingToken or InvalidInput, whose messages do not contain the text."""
    text = hidden(text.strip())
    if not _items(text):
        raise MissingToken(f"the token in {source} is empty; create one with: fly tokens create deploy -a APP")
    if not (text.isascii() and text.isprintable()):
        raise InvalidInput(f"the token in {source} contains characters that no HTTP header can contain; copy it again")
    return Token(text)


def _access_token(file: Path) -> str | None:
    """Return flyctl's token from its YAML file, where it is a top-level string on one line, plain or in quotes."""
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
    """Return the base URL of the API, without `/v1`: `given`, else the environment's, else the public one.

    A socket is returned as `unix:///its/path`. Raises InvalidInput for a URL over which the token would be sent
    unencrypted, and for one with a path other than `/v1`.
    """
    if given is not None:
        return _socket_or_root(given, "the argument base_url")
    for name in URL_VARIABLES:
        if found := (getenv(name) or "").strip():
            return _socket_or_root(found, name)
    return PUBLIC_URL


def find_api_url(given: str | None, getenv: Getenv = os.getenv, *, base_url: str = PUBLIC_URL) -> str:
    """Return the base URL of GraphQL and the logs: `given`, else `FLY_API_BASE_URL`, else the public one.

    If `base_url` is on this machine, so are GraphQL and the logs, whatever the environment contains: requests meant for
    an emulator never leave the machine. Raises InvalidInput as `find_base_url` does.
    """
    if given is not None:
        return _root(given, "the argument api_url")
    configured = (getenv(API_URL_VARIABLE) or "").strip()
    found = _root(configured, API_URL_VARIABLE) if configured else API_URL
    return base_url if is_here(base_url) and not is_here(found) else found


def is_here(url: str) -> bool:
    """Whether the host of a URL is this machine."""
    return _is_this_machine(urlsplit(url).hostname or "")


def _socket_or_root(url: str, source: str) -> str:
    path = url.strip().removeprefix(SOCKET)
    if path == url.strip():
        return _root(url, source)
    _demand_printable(path, source)
    if not path.startswith("/") or len(path) == 1:
        raise InvalidInput(f"{source} is {url.strip()!r}, but a socket needs an absolute path: {SOCKET}/.fly/api")
    return SOCKET + path


def _root(url: str, source: str) -> str:
    url = url.strip() if "://" in url else f"https://{url.strip()}"
    # Checked before parsing: the parser's error for an invalid URL may contain the password.
    if "@" in url:
        raise InvalidInput(f"{source} contains a user or password; pass the token as token=… or in FLY_API_TOKEN")
    _demand_printable(url, source)  # urlsplit silently ignores line breaks
    try:
        parts = urlsplit(url)
        host, port = parts.hostname or "", parts.port
    except ValueError as error:
        raise InvalidInput(f"{source} is not a valid URL: {error}; an example is {PUBLIC_URL}") from error
    shown = repr(re.split("[?#]", url)[0])  # the query may contain a token
    if not _HOST.fullmatch(host) or parts.scheme not in {"http", "https"}:
        raise InvalidInput(f"{source} is {shown}, but must be an http or https URL such as {PUBLIC_URL}")
    if parts.path.rstrip("/") not in {"", "/v1"} or parts.query or parts.fragment:
        raise InvalidInput(f"{source} is {shown}, but must have no path, query or fragment: the API is at /v1")
    if parts.scheme == "http" and not (host.endswith(".internal") or _is_this_machine(host)):
        raise InvalidInput(
            f"{source} is {shown}, but the token would be sent unencrypted over http: use https "
            "(http is accepted for this machine and for hosts ending in .internal)"
        )
    name = f"[{host}]" if ":" in host else host
    return f"{parts.scheme}://{name}" + (f":{port}" if port else "")


def _demand_printable(url: str, source: str) -> None:
    if has_control(url):
        raise InvalidInput(f"{source} contains control characters or lone surrogates, which no URL can: copy it again")


def _is_this_machine(host: str) -> bool:
    address = ip_of(host)
    return host == "localhost" or (address is not None and address.is_loopback)


def ip_of(host: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    """Return the IP address that `host` is, or None for a name."""
    try:
        return ipaddress.ip_address(host)
    except ValueError:
        return None
