"""What the API would refuse in a config: each rule yields findings that are certain. No finding repeats a secret.

What Go, at the other end, takes for unset is unset here: an empty text, a zero, a null.
"""

import base64
import binascii
import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Final

from flyasync.models.config import MachineConfig, Mount
from flyasync.models.container import Container, File
from flyasync.models.lint.finding import Finding
from flyasync.models.lint.guest import check_guest
from flyasync.models.redaction import shown
from flyasync.models.service import Check, Port, Service

_LEAST_INTERVAL: Final = 2.0
_LONGEST_TIMEOUT: Final = 60.0
_SOURCES: Final = ("raw_value", "secret_name", "image_config")
_VOLUME_ID: Final = re.compile(r"vol_\w+")


def check_image(image: str | None) -> Iterator[Finding]:
    """Check the reference of an image."""
    if not image or not image.strip():
        yield Finding("image-missing", "image", f"{image!r} is no image", 'name one, such as "registry.fly.io/web:v2"')
    elif any(letter.isspace() for letter in image):
        advice = "write registry/repository:tag, without spaces"
        yield Finding("image-spaces", "image", f"{shown(image)} has spaces in it", advice)


def check_config(config: MachineConfig, *, volumes_by_name: bool = False) -> Iterator[Finding]:
    """Check a whole config, as it would be sent; every finding is one that the API would refuse.

    With `volumes_by_name` a mount may name its volume, as one of a fly.toml does, whose id is yet to be put in.
    """
    if config.image or not config.containers:  # containers bring images of their own
        yield from check_image(config.image)
    if config.guest is not None:
        yield from check_guest(config.guest)
    yield from _check_size(config)
    yield from _check_mounts(config.mounts or (), by_name=volumes_by_name)
    yield from _check_standbys(config)
    yield from _check_texts("env", config.env)
    yield from _check_texts("metadata", config.metadata)
    yield from _check_files("files", config.files or ())
    for number, service in enumerate(config.services or ()):
        yield from _check_service(f"services[{number}]", service)
    for name, check in (config.checks or {}).items():
        yield from _check_times(f"checks.{name}", check)
    for number, container in enumerate(config.containers or ()):
        yield from _check_container(f"containers[{number}]", container)


def _check_size(config: MachineConfig) -> Iterator[Finding]:
    if config.size and config.guest is not None:
        message = f"{shown(config.size)} and guest exclude each other"
        yield Finding("size-and-guest", "size", message, "keep guest; Guest.of_size makes one from a size")


def _check_mounts(mounts: Iterable[Mount], *, by_name: bool) -> Iterator[Finding]:
    count = len(tuple(mounts))
    if count > 1:
        message = f"{count} mounts, but a machine takes one volume"
        yield Finding("mounts", "mounts", message, "keep one, and spread the rest over more machines")
        return
    for mount in mounts:
        hint = "name the id of a volume, such as 'vol_…'; fly.volumes.list returns them"
        if not (mount.volume or (by_name and mount.name)):
            yield Finding("mount-volume", "mounts[0].volume", "a mount needs a volume", hint)
        elif mount.volume and not _VOLUME_ID.fullmatch(mount.volume):
            yield Finding("mount-volume", "mounts[0].volume", f"{shown(mount.volume)} is not the id of a volume", hint)
        if not (mount.path or "").startswith("/"):
            message = f"{shown(mount.path)} is no absolute path"
            yield Finding("mount-path", "mounts[0].path", message, 'write one such as "/data"')


def _check_standbys(config: MachineConfig) -> Iterator[Finding]:
    if config.standbys and config.services:
        message = "a machine with services can not stand by for another"
        yield Finding("standbys", "standbys", message, "clear the one or the other")


def _check_texts(path: str, texts: Mapping[str, Any] | None) -> Iterator[Finding]:
    for name, value in (texts or {}).items():
        if not isinstance(value, str | None):
            message = f"a value must be text, not {type(value).__name__}"
            code = f"{path.rpartition('.')[2]}-text"
            yield Finding(code, f"{path}.{name}", message, "write it with quotes")


def _check_files(path: str, files: Iterable[File]) -> Iterator[Finding]:
    for number, file in enumerate(files):
        yield from _check_file(f"{path}[{number}]", file)


def _check_file(path: str, file: File) -> Iterator[Finding]:
    if not (file.guest_path or "").startswith("/"):
        message = f"{shown(file.guest_path)} is no absolute path"
        yield Finding("file-path", f"{path}.guest_path", message, 'write one such as "/etc/app.conf"')
    sources = [name for name in _SOURCES if getattr(file, name)]
    is_empty = not sources and file.raw_value is not None  # an empty file
    if not sources and "local_path" in file.extra:
        message = "the content comes from local_path, which flyctl reads and the API does not know"
        yield Finding("file-source", path, message, f"read the file, and give exactly one of {', '.join(_SOURCES)}")
    elif len(sources) != 1 and not is_empty and not file.extra:  # a source that is not known here may be among those
        message = f"the content comes from {' and '.join(sources) or 'nowhere'}"
        yield Finding("file-source", path, message, f"give exactly one of {', '.join(_SOURCES)}")
    if file.raw_value is not None and not _is_base64(file.raw_value):
        message = "the content is not base64"
        yield Finding("file-base64", f"{path}.raw_value", message, "encode it: base64.b64encode(content).decode()")


def _is_base64(text: str) -> bool:
    try:
        base64.b64decode(text.translate({10: None, 13: None}), validate=True)  # Go, too, reads over line breaks
    except (binascii.Error, ValueError):
        return False
    return True


def _check_service(path: str, service: Service) -> Iterator[Finding]:
    autostart: Any = service.autostart
    if not isinstance(autostart, bool | None):
        message = f"{shown(autostart)} is no boolean, and the API takes nothing else here"
        yield Finding("autostart", f"{path}.autostart", message, "write True or False")
    for number, port in enumerate(service.ports or ()):
        yield from _check_port(f"{path}.ports[{number}]", port)


def _check_port(path: str, port: Port) -> Iterator[Finding]:
    if port.force_https and "http" not in (port.handlers or ()):
        message = "only the http handler can send people on to https"
        yield Finding("force-https", f"{path}.force_https", message, "add the handler, or leave force_https out")


def _check_times(path: str, check: Check) -> Iterator[Finding]:
    if check.interval and check.interval < _LEAST_INTERVAL:
        message = f"{check.interval} is too often: the least interval is 2s"
        yield Finding("check-interval", f"{path}.interval", message, "take 2 seconds or more")
    if check.timeout is not None and check.timeout > _LONGEST_TIMEOUT:
        message = f"{check.timeout} is too long: the longest timeout is 1m0s"
        yield Finding("check-timeout", f"{path}.timeout", message, "take 60 seconds or less")


def _check_container(path: str, container: Container) -> Iterator[Finding]:
    yield from _check_texts(f"{path}.env", container.env)
    yield from _check_files(f"{path}.files", container.files or ())
