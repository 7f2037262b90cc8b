"""What the API would refuse, found before it is asked.

Each rule yields findings and raises nothing; `refuse` raises for the certain ones. No finding repeats a secret.
"""

import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Final, NamedTuple

from attrs import field, frozen

from flyasync.errors import InvalidInput
from flyasync.models.config import MachineConfig
from flyasync.models.guest import Guest
from flyasync.models.service import Check, Service


@frozen
class Finding:
    """One thing that is wrong with a value.

    `code` names the rule, `path` says where, `message` names value and rule, `advice` the way out. A `certain` finding
    is one that the API would refuse.
    """

    code: str
    path: str
    message: str
    advice: str
    certain: bool = field(default=True, kw_only=True)

    def __str__(self) -> str:
        return f"{self.path}: {self.message}; {self.advice}"


class _Kind(NamedTuple):
    """What a kind of CPU allows; memory is in megabytes."""

    cpus: tuple[int, ...]
    step_mb: int
    least_mb_per_cpu: int
    most_mb_per_cpu: int


_KINDS: Final[Mapping[str, _Kind]] = {
    "shared": _Kind((1, 2, 4, 6, 8), 256, 256, 2048),
    "performance": _Kind((1, 2, 4, 6, 8, 10, 12, 14, 16, 32, 64, 128), 1024, 2048, 8192),
}
# "Under 63 chars" in the API's words; a DNS label has room for 63, so that one length is left to the API.
_APP_NAME: Final = re.compile(r"[a-z0-9-]{1,63}")
_LEAST_INTERVAL: Final = 2.0
_LONGEST_TIMEOUT: Final = 60.0


def refuse(findings: Iterable[Finding]) -> None:
    """Raise InvalidInput that names every certain finding; nothing if there is none."""
    certain = [str(finding) for finding in findings if finding.certain]
    if certain:
        raise InvalidInput(". ".join(certain))


def check_app_name(name: str) -> Iterator[Finding]:
    """Check the name of an app to be made."""
    if not _APP_NAME.fullmatch(name):
        yield Finding(
            "app-name",
            "name",
            f"{name!r} is no name of an app: it takes lowercase letters, digits and dashes, under 63 of them",
            _app_name_advice(name),
        )


def _app_name_advice(name: str) -> str:
    close = re.sub(r"[^a-z0-9]+", "-", name.lower()).strip("-")[:62]
    return f"try {close!r}" if close else "choose another one"


def check_image(image: str | None) -> Iterator[Finding]:
    """Check the reference of an image."""
    if not image or not image.strip():
        yield Finding("image-missing", "image", f"{image!r} is no image", 'name one, such as "registry.fly.io/web:v2"')
    elif any(letter.isspace() for letter in image):
        advice = "write registry/repository:tag, without spaces"
        yield Finding("image-spaces", "image", f"{image!r} has spaces in it", advice)


def check_guest(guest: Guest) -> Iterator[Finding]:
    """Check that the memory fits the CPUs; a kind of CPU that is not known here is left to the API."""
    rules = _KINDS.get(_cpu_kind(guest))
    if rules is None:
        return
    cpus = 1 if guest.cpus is None else guest.cpus
    if cpus not in rules.cpus:
        allowed = ", ".join(map(str, rules.cpus))
        yield Finding("guest-cpus", "guest.cpus", f"{_cpu_kind(guest)} cpus do not come in {cpus}", f"take {allowed}")
        return
    for name, memory_mb in (("memory_mb", guest.memory_mb), ("max_memory_mb", guest.max_memory_mb)):
        if memory_mb is not None:
            yield from _check_memory(f"guest.{name}", memory_mb, cpus, rules)
    yield from _check_ceiling(guest)


def _cpu_kind(guest: Guest) -> str:
    return guest.cpu_kind or ("performance" if guest.gpu_kind else "shared")


def _check_memory(path: str, memory_mb: int, cpus: int, rules: _Kind) -> Iterator[Finding]:
    least, most = cpus * rules.least_mb_per_cpu, cpus * rules.most_mb_per_cpu
    if not least <= memory_mb <= most or memory_mb % rules.step_mb:
        near = min(max(round(memory_mb / rules.step_mb) * rules.step_mb, least), most)
        yield Finding(
            "guest-memory",
            path,
            f"{memory_mb} MB does not fit {cpus} cpus of this kind: {least} to {most}, in steps of {rules.step_mb}",
            f"take {near}",
        )


def _check_ceiling(guest: Guest) -> Iterator[Finding]:
    if guest.max_memory_mb is not None and guest.memory_mb is not None and guest.max_memory_mb < guest.memory_mb:
        yield Finding(
            "guest-ceiling",
            "guest.max_memory_mb",
            f"{guest.max_memory_mb} MB is less than memory_mb, {guest.memory_mb}",
            "raise it or leave it out",
        )


def check_config(config: MachineConfig) -> Iterator[Finding]:
    """Check a whole config, as it would be sent."""
    yield from check_image(config.image)
    if config.guest is not None:
        yield from check_guest(config.guest)
    yield from _check_size(config)
    yield from _check_mounts(config)
    yield from _check_texts("env", config.env)
    yield from _check_texts("metadata", config.metadata)
    for number, service in enumerate(config.services or ()):
        yield from _check_service(f"services[{number}]", service)
    for name, check in (config.checks or {}).items():
        yield from _check_times(f"checks.{name}", check)


def _check_size(config: MachineConfig) -> Iterator[Finding]:
    if config.size is not None and config.guest is not None:
        message = f"{config.size!r} and guest exclude each other"
        yield Finding("size-and-guest", "size", message, "keep guest; Guest.of_size makes one from a size")


def _check_mounts(config: MachineConfig) -> Iterator[Finding]:
    count = len(config.mounts or ())
    if count > 1:
        message = f"{count} mounts, but a machine takes one volume"
        yield Finding("mounts", "mounts", message, "keep one, and spread the rest over more machines")


def _check_texts(path: str, texts: Mapping[str, Any] | None) -> Iterator[Finding]:
    for name, value in (texts or {}).items():
        if not isinstance(value, str):
            message = f"a value must be text, not {type(value).__name__}"
            yield Finding(f"{path}-text", f"{path}.{name}", message, "write it with quotes")


def _check_service(path: str, service: Service) -> Iterator[Finding]:
    autostart: Any = service.autostart
    if not isinstance(autostart, bool | None):
        message = f"{autostart!r} is no boolean, and the API takes nothing else here"
        yield Finding("autostart", f"{path}.autostart", message, "write True or False")


def _check_times(path: str, check: Check) -> Iterator[Finding]:
    if check.interval is not None and check.interval < _LEAST_INTERVAL:
        message = f"{check.interval} is too often: the least interval is 2s"
        yield Finding("check-interval", f"{path}.interval", message, "take 2 seconds or more")
    if check.timeout is not None and check.timeout > _LONGEST_TIMEOUT:
        message = f"{check.timeout} is too long: the longest timeout is 1m0s"
        yield Finding("check-timeout", f"{path}.timeout", message, "take 60 seconds or less")
