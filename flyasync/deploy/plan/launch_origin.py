"""Where a launch comes from: its message, its commit and who deployed, in the metadata of its machines; pure."""

import re
from collections.abc import Mapping
from typing import Any, Final

from attrs import field, frozen
from attrs.converters import optional

from flyasync.api.machines.create_once import OURS
from flyasync.errors import InvalidInput
from flyasync.models.redaction import without_passwords
from flyasync.safe_text import REDACTED, readable

MESSAGE: Final = f"{OURS}message"
"""The metadata key with the message of the launch that created or last updated a machine."""

COMMIT: Final = f"{OURS}commit"
"""The metadata key with the commit that this launch deployed."""

BY: Final = f"{OURS}by"
"""The metadata key with the user who deployed this launch."""

ORIGIN_KEYS: Final = frozenset({MESSAGE, COMMIT, BY})

LONGEST: Final = 200
"""How many characters of a value are stored. The API publishes no limit, and a config is sent with every update."""

# Tokens of Fly.io and GitHub, which might end up in a message by mistake.
_TOKEN = re.compile(r"\b(?:fm1[ra]|fm2|fo1|gh[pousr]|github_pat)_[\w+/=-]{8,}")


def _one_line(text: Any) -> str:
    """Return a text on one line, without passwords and tokens, cut to the length that is stored."""
    if not isinstance(text, str):
        raise InvalidInput(f"the origin of a launch consists of texts, not {type(text).__name__}")
    line = _TOKEN.sub(REDACTED, without_passwords(" ".join(readable(text).split())))
    return line if len(line) <= LONGEST else f"{line[: LONGEST - 1].rstrip()}…"


@frozen(kw_only=True)
class LaunchOrigin:
    """The `message` of a launch, the git `commit` that it deploys, and `by` whom; None if that is unknown.

    Each text is one line of at most 200 characters, without passwords in URLs and without tokens; a longer one is cut
    and ends with an ellipsis.
    """

    message: str | None = field(default=None, converter=optional(_one_line))
    commit: str | None = field(default=None, converter=optional(_one_line))
    by: str | None = field(default=None, converter=optional(_one_line))

    @property
    def marks(self) -> Mapping[str, str]:
        """The metadata of each machine that the launch creates or updates."""
        values = {MESSAGE: self.message, COMMIT: self.commit, BY: self.by}
        return {key: value for key, value in values.items() if value}

    @classmethod
    def of(cls, metadata: Mapping[str, str]) -> "LaunchOrigin":
        """Return the origin of the launch that created or last updated a machine with this metadata."""
        return cls(message=metadata.get(MESSAGE), commit=metadata.get(COMMIT), by=metadata.get(BY))
