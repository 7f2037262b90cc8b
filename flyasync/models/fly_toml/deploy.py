"""The section `[deploy]` of a fly.toml: how a deploy runs; none of it is part of a machine's config."""

from typing import Final

from attrs import frozen

from flyasync.models.fly_toml.section import Section
from flyasync.models.fly_toml.shell_words import split_words
from flyasync.models.fly_toml.vm import guest
from flyasync.models.guest import Guest
from flyasync.models.types import Duration

_STRATEGIES: Final = ("rolling", "canary", "bluegreen", "immediate")
_SECOND: Final = 1


@frozen(kw_only=True)
class DeploySection:
    """The settings for deploys with flyctl; None or empty if the file does not set them.

    `max_unavailable` is a fraction if below 1, else a number of machines. The commands are split into words.
    `release_command_guest` is the hardware of the machine that runs the release command.
    """

    strategy: str | None = None
    max_unavailable: float | None = None
    wait_timeout: Duration | None = None
    release_command: tuple[str, ...] = ()
    release_command_timeout: Duration | None = None
    release_command_guest: Guest | None = None
    seed_command: tuple[str, ...] = ()


def deploy(section: Section, host_dedication_id: str | None) -> DeploySection:
    """Read `[deploy]`. A plain number as a timeout is in seconds; flyctl reads nanoseconds."""
    strategy = section.text("strategy")
    if strategy and strategy not in _STRATEGIES:
        section.wrong("strategy", f"is {strategy!r}, but must be one of {', '.join(_STRATEGIES)}")
    hardware = section.table("release_command_vm")
    made = DeploySection(
        strategy=strategy or None,
        max_unavailable=section.number("max_unavailable"),
        wait_timeout=section.duration("wait_timeout", unit=_SECOND),
        release_command=command(section, "release_command", section.text("release_command")),
        release_command_timeout=section.duration("release_command_timeout", unit=_SECOND),
        release_command_guest=guest(hardware, host_dedication_id) if hardware else None,
        seed_command=command(section, "seed_command", section.text("seed_command")),
    )
    section.finish()
    return made


def command(section: Section, key: str, line: str | None) -> tuple[str, ...]:
    """Split a command line into words, or report one that is invalid."""
    try:
        return split_words(line or "")
    except ValueError as error:
        section.wrong(key, f"is not a valid command line: {error}")
        return ()
