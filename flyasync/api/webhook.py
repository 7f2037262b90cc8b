"""A webhook: an address of the user's own to which JSON is posted, signed and retried. It is not part of the API."""

import asyncio
import hmac
import random
import time
from base64 import b64encode
from http import HTTPStatus
from secrets import token_hex
from typing import Any, Final
from urllib.parse import quote, unquote, urlsplit

from attrs import evolve, field, frozen
from attrs.converters import optional

from flyasync.errors import CallFailed, InvalidInput, Unanswered, Unreadable
from flyasync.safe_text import hidden
from flyasync.transport.request import Repeat, Request
from flyasync.transport.session import Session, Timeouts

SIGNATURE: Final = "X-Flyasync-Signature-256"
"""The header with the HMAC-SHA256 of the timestamp, a full stop and the body."""

TIMESTAMP: Final = "X-Flyasync-Timestamp"
"""The header with the time of the first attempt, in seconds since 1970; it is part of what is signed."""

DELIVERY: Final = "X-Flyasync-Delivery"
"""The header with a random id, which is the same in each attempt of one delivery."""

WITHIN: Final = 30.0
"""Seconds within which a delivery ends, all attempts included."""

_PAUSES: Final = (1.0, 2.0, 4.0)  # seconds before each further attempt, plus up to half of that
_TIMEOUTS: Final = Timeouts(connect=5.0, reply=10.0)
_TEMPORARY: Final = frozenset({HTTPStatus.REQUEST_TIMEOUT, HTTPStatus.TOO_EARLY, HTTPStatus.TOO_MANY_REQUESTS})
_OPERATION: Final = "webhook.post"
_RULE: Final = "a notification goes to an http or https URL with a host, in ASCII, such as https://example.com/deploys"


def _hidden(text: str) -> str:
    if not isinstance(text, str):
        raise InvalidInput(f"a webhook has a URL and a key that are texts, not {type(text).__name__}")
    return hidden(text)


@frozen(repr=False)
class Webhook:
    """An http or https URL, and the key that signs what is posted there; raises InvalidInput for any other URL.

    A user and password in the URL are sent as basic authentication. Neither they, nor the path and the query, which
    often contain a token, appear in a repr or an error. Without a key nothing is signed.
    """

    url: str = field(converter=_hidden)
    key: str | None = field(default=None, converter=optional(_hidden))

    @url.validator
    def _is_a_place(self, _attribute: object, url: str) -> None:
        try:
            parts = urlsplit(url)
            fits = parts.scheme in {"http", "https"} and bool(parts.hostname) and parts.port != 0
        except ValueError:  # an invalid port or address
            fits = False
        if not (fits and url.isascii() and url.isprintable() and " " not in url):
            raise InvalidInput(_RULE)  # without the value, which may contain a password

    @key.validator
    def _signs(self, _attribute: object, key: str | None) -> None:
        if key == "":
            raise InvalidInput("the key of a webhook is empty, so it would sign nothing: leave it out, or set it")

    @property
    def host(self) -> str:
        """The scheme, the host and the port."""
        parts = urlsplit(self.url)
        return f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}"

    def __repr__(self) -> str:
        return f"<Webhook at {self.host}>"

    async def deliver(self, document: Any) -> None:
        """Post `document` as JSON until it is accepted; raises CallFailed if it is not, after 30 seconds at most.

        A missing response and the statuses 408, 425, 429 and 5xx are retried up to three times; so the same document
        may arrive twice, with the same id. A redirect is not followed.
        """
        request = self._request(document)
        session = Session(self.host, None, _TIMEOUTS)
        try:
            async with asyncio.timeout(WITHIN):
                for pause in (*_PAUSES, None):
                    problem, is_temporary = await self._attempt(session, request)
                    if problem is None:
                        return
                    if pause is None or not is_temporary:
                        raise problem
                    await asyncio.sleep(pause * random.uniform(1, 1.5))  # noqa: S311 - spreads senders only
        except TimeoutError:
            raise CallFailed(_OPERATION, self.host, f"it was not accepted within {WITHIN:g} s") from None
        finally:
            await session.close(grace=0)

    async def _attempt(self, session: Session, request: Request) -> tuple[CallFailed | None, bool]:
        """Send the request; return the problem, if any, and whether another attempt may help."""
        try:
            response = await session.exchange(request)
        except Unanswered as error:
            return error.explained(""), True
        except Unreadable:  # a long response, of which only the status matters
            return None, False
        status = response.status
        if status < HTTPStatus.MULTIPLE_CHOICES:
            return None, False
        redirect = ", a redirect, which is not followed" if status < HTTPStatus.BAD_REQUEST else ""
        is_temporary = status in _TEMPORARY or status >= HTTPStatus.INTERNAL_SERVER_ERROR
        return CallFailed(_OPERATION, self.host, f"it returned HTTP {status}{redirect}"), is_temporary

    def _request(self, document: Any) -> Request:
        parts = urlsplit(self.url)
        query = f"?{parts.query}" if parts.query else ""
        unsigned = Request(
            operation=_OPERATION,
            identifier=self.host,
            method="POST",
            path=hidden(quote(f"{parts.path or '/'}{query}", safe="/?%:@!$&'()*+,;=~")),
            repeat=Repeat.ANYTIME,
            body=document,
        )
        # The date, not the time of the loop: the receiver compares it with its own clock.
        sent = str(int(time.time()))
        headers = {TIMESTAMP: sent, DELIVERY: token_hex(16)}
        if parts.username is not None:
            login = f"{unquote(parts.username)}:{unquote(parts.password or '')}"
            headers["Authorization"] = f"Basic {b64encode(login.encode()).decode()}"
        if self.key:
            signed = sent.encode() + b"." + (unsigned.content or b"")
            headers[SIGNATURE] = f"sha256={hmac.digest(self.key.encode(), signed, 'sha256').hex()}"
        return evolve(unsigned, headers=headers)
