"""Status: what a deploy came to as a whole, with the exit code of the command. This is the only table of them."""

from enum import StrEnum
from typing import Self

from flyasync.deploy.reporting.styles import Look, Tone


class Status(StrEnum):
    """What a deploy came to as a whole.

    `exit_code` is what the command exits with, `tone` how the word is shown in a text, `look` how it is drawn on a
    page, and `meaning` its explanation. The state of the fleet takes precedence over the cause: where several apply, a
    deploy is *rolled back* before it is *requirement missed*, and that before it is *no capacity*. A fleet serves if at
    least one machine was observed at the end to be started, in routing, and with its checks passing; machines that the
    deploy did not make count as well.
    """

    exit_code: int
    tone: Tone
    look: Look
    meaning: str

    def __new__(
        cls, word: str, exit_code: int = 1, tone: Tone = Tone.BAD, look: Look = Look.BAD, meaning: str = ""
    ) -> Self:
        """Make a member of its word, exit code, tone, look and meaning."""
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
        "the requirement is met, but regions were skipped or machines do not serve; 0 if a requirement was stated",
    )  # fmt: skip
    NOT_VERIFIED = (
        "not verified", 8, Tone.BAD, Look.OTHER,
        "all is as desired, but all machines are stopped and none of those changed was seen to run",
    )  # fmt: skip
    FAILED = "failed", 1, Tone.BAD, Look.BAD, "the requirement is missed, and no machine was seen to serve"
    MISSED = (
        "requirement missed", 3, Tone.BAD, Look.BAD,
        "the requirement is missed, but the fleet serves: at least one machine, new or old, takes traffic",
    )  # fmt: skip
    ROLLED_BACK = (
        "rolled back", 4, Tone.BAD, Look.BAD,
        "the requirement was missed, and what was there before is restored",
    )  # fmt: skip
    NO_CAPACITY = "no capacity", 5, Tone.BAD, Look.BAD, "no region had room, and nothing was changed"
    LOCKED = "locked", 6, Tone.BAD, Look.BAD, "another deploy holds the lock, and nothing was changed"
    CANCELLED = "cancelled", 130, Tone.BAD, Look.GONE, "the deploy was cut off; 128 and the number of the signal"
