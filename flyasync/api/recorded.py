"""A client with the settings of a recorded one."""

from collections.abc import Mapping
from typing import Any

from flyasync.api.client import FlyClient
from flyasync.errors import InvalidInput
from flyasync.transport.retries import RetryPolicy
from flyasync.transport.session import Timeouts


def client_as_recorded(header: Mapping[str, Any], *, token: str, base_url: str) -> FlyClient:
    """Return a client that pauses and gives up as the client of a recording did, by the first line of its file.

    Its limits are in memory. Raises InvalidInput for settings that this version does not know.
    """
    settings = header.get("client", {})
    try:
        retry, timeout = RetryPolicy(**settings.get("retry", {})), Timeouts(**settings.get("timeout", {}))
    except TypeError as error:
        raise InvalidInput(
            f"the client of the recording has settings that this version does not know: {error}"
        ) from None
    return FlyClient(token, base_url=base_url, limits="memory", retry=retry, timeout=timeout)
