"""Deployment: what is wanted, and when it counts as reached."""

import json
import math
import re
from collections.abc import Mapping
from hashlib import sha256
from typing import Any, Literal

from attrs import evolve, field, frozen

from flyasync.errors import InvalidInput
from flyasync.models.config import MachineConfig
from flyasync.models.convert import unstructure
from flyasync.models.machine import Machine

Fallback = Literal["skip", "nearest"] | tuple[str, ...]
"""What to do when a region has no room: skip it, go to the nearest with room, or try these regions in order."""

Goal = Literal["started", "healthy"] | None
"""The state to wait for; None for not waiting at all."""

FINGERPRINT = "flyasync_config"
"""The metadata key with the fingerprint of the config that a machine was made with."""

_ALIASES = frozenset({"any", "apac", "eu", "na", "sa", "us", "usa"})


def check_region(code: str) -> str:
    """Give `code` back, if it can be a region's."""
    if not isinstance(code, str):
        raise InvalidInput(f"{code!r} is not a region: name each one as a text of its own, such as 'iad', 'lhr'")
    if code in _ALIASES:
        raise InvalidInput(
            f"{code!r} stands for many regions; name each one you want, such as 'iad', or use a fallback"
        )
    if not re.fullmatch(r"[a-z]{3}", code):
        hint = f"; did you mean {code.strip().lower()!r}?" if re.fullmatch(r"\s*[A-Za-z]{3}\s*", code) else ""
        raise InvalidInput(f"{code!r} is not a region: a region is three lowercase letters, such as 'iad'{hint}")
    return code


def check_launch(launch: str) -> str:
    """Give `launch` back, if machine names can be made from it."""
    if not re.fullmatch(r"[a-z0-9]([a-z0-9-]{0,38}[a-z0-9])?", launch):
        raise InvalidInput(
            f"{launch!r} cannot be a launch: it starts the machines' names, so use 1 to 40 lowercase letters, digits "
            "and inner dashes, such as 'release-42'"
        )
    return launch


@frozen
class Requirement:
    """How many of the wanted regions must run for a deploy to be ok: a number, a share of them, or all."""

    regions: int | float | Literal["all"] = 1

    @classmethod
    def parse(cls, text: str) -> "Requirement":
        """Read `all`, a number such as `2`, or a share such as `60%`."""
        if text == "all":
            return cls("all")
        if re.fullmatch(r"\d+", text):
            return cls(_checked(int(text)))
        if re.fullmatch(r"\d+(\.\d+)?%", text):
            return cls(_checked(float(text[:-1]) / 100))
        raise InvalidInput(
            f"{text!r} is not a requirement: use 'all', a number of regions such as 2, or a share such as 60%"
        )

    @classmethod
    def of(cls, regions: float | str) -> "Requirement":
        """Make a requirement from `all`, an int of 1 or more, a float share up to 1.0, or their texts."""
        return cls.parse(regions) if isinstance(regions, str) else cls(_checked(regions))

    def needed(self, wanted: int) -> int:
        """Say how many of `wanted` regions must run: never none."""
        if self.regions == "all":
            return wanted
        if isinstance(self.regions, float):
            # Rounded first, so that a third of three is not two for a rounding error's sake.
            return max(1, math.ceil(round(self.regions * wanted, 9)))
        return self.regions

    def __str__(self) -> str:
        if self.regions == "all":
            return "all regions"
        if isinstance(self.regions, float):
            return f"{self.regions:.0%} of the regions"
        return "at least one region" if self.regions == 1 else f"at least {self.regions} regions"


def _checked(regions: Any) -> int | float:
    if isinstance(regions, bool) or not (0 < regions <= 1 if isinstance(regions, float) else regions >= 1):
        raise InvalidInput(f"{regions!r} is not a requirement: use 'all', a whole number from 1, or a share up to 1.0")
    checked: int | float = regions
    return checked


@frozen(kw_only=True)
class Wanted:
    """One machine wanted: number `number` of those asked for in `region`."""

    name: str
    region: str
    number: int


@frozen(kw_only=True)
class Deployment:
    """What is wanted: `counts` machines of one config in each region of one app.

    `launch` names the occasion. It makes the machines' names and is in their metadata, so that the same launch again
    means the same machines. `timeout` is in seconds for each machine, from created to the goal.
    """

    app: str
    launch: str
    config: MachineConfig
    counts: Mapping[str, int]
    fallback: Fallback = "skip"
    goal: Goal = "started"
    timeout: float = 300.0
    requirement: Requirement = field(factory=Requirement)
    rolls_back: bool = False

    @property
    def regions(self) -> tuple[str, ...]:
        """The regions wanted, in the order given."""
        return tuple(self.counts)

    def machines(self, region: str) -> tuple[Wanted, ...]:
        """Name the machines wanted in `region`."""
        return tuple(
            Wanted(name=f"{self.launch}-{region}-{number}", region=region, number=number)
            for number in range(1, self.counts[region] + 1)
        )

    @property
    def fingerprint(self) -> str:
        """A short text that tells this config from others; each machine carries it, so that a launch is one config."""
        written = json.dumps(unstructure(self.config), sort_keys=True)
        return sha256(written.encode()).hexdigest()[:16]

    @property
    def tagged(self) -> MachineConfig:
        """The config that machines are created with."""
        return evolve(self.config, metadata={**(self.config.metadata or {}), FINGERPRINT: self.fingerprint})

    def made(self, machine: Machine) -> bool:
        """Tell whether a machine was made with this config."""
        return machine.metadata.get(FINGERPRINT) == self.fingerprint

    @property
    def resting_states(self) -> frozenset[str]:
        """The states, besides `started`, that keep the promise: autostop may put a started machine to rest."""
        autostops = any(service.autostop not in {None, "off"} for service in self.config.services or ())
        return frozenset({"stopped", "suspended"}) if autostops else frozenset()

    def keeps_promise(self, machine: Machine) -> bool:
        """Tell whether a machine is as this deployment wants it."""
        if not self.made(machine):
            return False
        if self.goal is None:
            return machine.is_alive
        if self.goal == "healthy" and machine.state == "started":
            return machine.is_healthy
        return machine.state in {"started", *self.resting_states}
