"""The webhook of `--notify`, with the key in the environment."""

import os
from typing import Final

from flyasync.api.webhook import Webhook

NOTIFY_KEY: Final = "FLYASYNC_NOTIFY_KEY"
"""The variable with the key that signs notifications; nothing is signed if it is not set, or empty."""


def webhooks_of(url: str | None) -> tuple[Webhook, ...]:
    """Return the webhook with this URL, if there is one; raises InvalidInput for an invalid URL."""
    return () if url is None else (Webhook(url, os.environ.get(NOTIFY_KEY) or None),)
