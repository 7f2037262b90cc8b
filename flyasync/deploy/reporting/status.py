"""The status of a whole deploy, and the exit code that the command has for it. This is the only table of them."""

from enum import StrEnum
from typing import Self

from flyasync.deploy.reporting.styles import Look, Tone


class Status(StrEnum):
    """The result of a whole deploy.

    `exit_code` is the exit code of the command, `tone` the tone of the word in text, `look` its style on the HTML page,
    and `meaning` its explanation.

    If several statuses apply, the state of the fleet takes precedence over the cause: *rolled back* comes before
    *requirement missed*, and *requirement missed* before *no capacity*. A machine serves if the final check found it
    started, in routing, and with its checks passing. Machines that the deploy did not create count too.
    """

    exit_code: int
    tone: Tone
    look: Look
    meaning: str

    def __new__(
        cls, word: str, exit_code: int = 1, tone: Tone = Tone.BAD, look: Look = Look.BAD, meaning: str = ""
    ) -> Self:
        """Create a member from its word, exit code, tone, look and meaning."""
        status = str.__new__(cls, word)
        status._value_ = word
        status.exit_code = exit_code
        status.tone = tone
        status.look = look
        status.meaning = meaning
        return status

    OK = "ok", 0, Tone.GOOD, Look.GOOD, "all machines are as desired"
    DEGRADED = (
        "degraded", 7, Tone.CAUTION, Look.WARNING,
        "the requirement is met, but not all machines run, or surplus machines remain; 0 if a requirement was stated",
    )  # fmt: skip
    NOT_VERIFIED = (
        "not verified", 8, Tone.BAD, Look.OTHER,
        "all machines are as desired, but all are stopped, and no changed machine was started to verify it",
    )  # fmt: skip
    PAUSED = (
        "paused", 9, Tone.CAUTION, Look.WARNING,
        "the waves up to the one to pause after are done; the deploy continues from its journal",
    )  # fmt: skip
    FAILED = "failed", 1, Tone.BAD, Look.BAD, "the requirement is missed, and no machine is known to serve"
    MISSED = (
        "requirement missed", 3, Tone.BAD, Look.BAD,
        "the requirement is missed, but at least one machine, new or old, serves",
    )  # fmt: skip
    ROLLED_BACK = (
        "rolled back", 4, Tone.BAD, Look.BAD,
        "the requirement was missed, and the previous state is restored",
    )  # fmt: skip
    NO_CAPACITY = "no capacity", 5, Tone.BAD, Look.BAD, "no region had room, and nothing was changed"
    LOCKED = "locked", 6, Tone.BAD, Look.BAD, "another deploy holds the lock, and nothing was changed"
    CANCELLED = "cancelled", 130, Tone.BAD, Look.GONE, "the deploy was cancelled; 128 plus the number of the signal"
