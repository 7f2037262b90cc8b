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
    """How flyctl deploys; None and no words for what the file leaves to the command.

    `max_unavailable` is a share below 1 and a number of machines above. The commands are split into their words, and
    `release_command_guest` is the hardware of the machine that the first of them runs on.
    """

    strategy: str | None = None
    max_unavailable: float | None = None
    wait_timeout: Duration | None = None
    release_command: tuple[str, ...] = ()
    release_command_timeout: Duration | None = None
    release_command_guest: Guest | None = None
    seed_command: tuple[str, ...] = ()


def deploy(section: Section) -> DeploySection:
    """Read `[deploy]`."""
    strategy = section.text("strategy")
    if strategy and strategy not in _STRATEGIES:
        message = f"{strategy!r} is not a strategy that is known here"
        section.warn("deploy-strategy", "strategy", message, f"write one of {', '.join(_STRATEGIES)}")
    hardware = section.table("release_command_vm")
    made = DeploySection(
        strategy=strategy or None,
        max_unavailable=section.number("max_unavailable"),
        wait_timeout=section.duration("wait_timeout", unit=_SECOND),
        release_command=command(section, "release_command", section.text("release_command")),
        release_command_timeout=section.duration("release_command_timeout", unit=_SECOND),
        release_command_guest=guest(hardware, None) if hardware else None,
        seed_command=command(section, "seed_command", section.text("seed_command")),
    )
    section.finish()
    return made


def command(section: Section, key: str, line: str | None) -> tuple[str, ...]:
    """Split a command line, or report one that no shell could read."""
    try:
        return split_words(line or "")
    except ValueError as error:
        section.wrong(key, f"has a command that a shell could not read: {error}")
        return ()
