"""Rules for what the API would refuse; they yield certain findings. No finding contains a secret.

The API is written in Go, where an empty string, a zero and a null all mean unset. They mean the same here.
"""

import base64
import binascii
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, Final

from flyasync.models.config import MachineConfig, Mount, is_volume_name
from flyasync.models.container import File
from flyasync.models.lint.finding import Finding
from flyasync.models.lint.guest import check_guest
from flyasync.models.redaction import shown
from flyasync.models.service import Service

# For checks at the top of a config. Times of a service's checks are not refused, but changed to fit the limits.
_LEAST_INTERVAL: Final = 2.0  # seconds
_LONGEST_TIMEOUT: Final = 60.0  # seconds
# A file has exactly one of these.
_SOURCES: Final = ("raw_value", "secret_name", "image_config")
# The API states "under 63 chars", but a DNS label may have 63, so that length is left to the API.
_APP_NAME: Final = re.compile(r"[a-z0-9-]{1,63}")


def check_app_name(name: str) -> Iterator[Finding]:
    """Check the name of an app that is to be created."""
    if not _APP_NAME.fullmatch(name):
        message = f"{name!r} is not a valid app name, which has fewer than 63 lowercase letters, digits and dashes"
        close = re.sub(r"[^a-z0-9]+", "-", name.lower()).strip("-")[:62]
        yield Finding("app-name", "name", message, f"try {close!r}" if close else "choose another name")


def check_image(image: str | None) -> Iterator[Finding]:
    """Check an image reference."""
    if not image or not image.strip():
        yield Finding(
            "image-missing", "image", f"{image!r} is not an image", 'set one, such as "registry.fly.io/web:v2"'
        )
    elif image.split() != [image]:
        advice = "write registry/repository:tag, without spaces"
        yield Finding("image-spaces", "image", f"{shown(image)} contains spaces", advice)


def check_config(config: MachineConfig, *, volumes_by_name: bool = False) -> Iterator[Finding]:
    """Check a whole config, as it would be sent; the API would refuse it because of any of these findings.

    With `volumes_by_name`, a mount may name its volume, as in a fly.toml or for `create_once`; the id is set later.
    """
    # Containers have images of their own.
    if config.image or not config.containers:
        yield from check_image(config.image)
    if config.guest is not None:
        yield from check_guest(config.guest)
    if config.size and config.guest is not None:
        message = f"{shown(config.size)} cannot be combined with guest"
        yield Finding("size-and-guest", "size", message, "keep guest; Guest.of_size returns the one for a size")
    yield from _check_mounts(config.mounts or (), by_name=volumes_by_name)
    if config.standbys and config.services:
        message = "a machine with services cannot be a standby"
        yield Finding("standbys", "standbys", message, "remove standbys or services")
    yield from _check_texts("env", config.env)
    yield from _check_texts("metadata", config.metadata)
    yield from _check_files("files", config.files or ())
    for number, service in enumerate(config.services or ()):
        yield from _check_service(f"services[{number}]", service)
    for name, check in (config.checks or {}).items():
        if check.interval and check.interval < _LEAST_INTERVAL:
            message = f"{check.interval} is too short: the minimum interval is 2s"
            yield Finding("check-interval", f"checks.{name}.interval", message, "use 2 seconds or more")
        if check.timeout is not None and check.timeout > _LONGEST_TIMEOUT:
            message = f"{check.timeout} is too long: the maximum timeout is 1m0s"
            yield Finding("check-timeout", f"checks.{name}.timeout", message, "use 60 seconds or less")
    for number, container in enumerate(config.containers or ()):
        yield from _check_texts(f"containers[{number}].env", container.env)
        yield from _check_files(f"containers[{number}].files", container.files or ())


def _check_mounts(mounts: Sequence[Mount], *, by_name: bool) -> Iterator[Finding]:
    if len(mounts) > 1:
        message = f"{len(mounts)} mounts, but a machine can mount only one volume"
        yield Finding("mounts", "mounts", message, "keep one, and use more machines for the others")
        return
    for mount in mounts:
        name, hint = mount.volume_name, "set the id of a volume, such as 'vol_…'; fly.volumes.list returns them"
        if not (mount.volume or mount.name):
            advice = "name one, such as 'data': in a fly.toml, as its source" if by_name else hint
            yield Finding("mount-volume", "mounts[0].volume", "a mount needs a volume", advice)
        elif name and not is_volume_name(name):
            yield Finding("mount-volume", "mounts[0].volume", f"{shown(name)} is not the id of a volume", hint)
        elif name and not by_name:
            message = f"{name!r} is the name of a volume, but this request needs its id, such as 'vol_…'"
            advice = "create_once, flyasync machines run and deploys take a free volume of that name"
            yield Finding("mount-volume", "mounts[0].volume", message, advice)
        if not (mount.path or "").startswith("/"):
            message = f"{shown(mount.path)} is not an absolute path"
            yield Finding("mount-path", "mounts[0].path", message, 'use one such as "/data"')
        if mount.add_size_gb and mount.add_size_percent:
            message = "the volume can grow by add_size_gb or by add_size_percent, not by both"
            yield Finding("mount-step", "mounts[0].add_size_percent", message, "remove one of the two")


def _check_texts(path: str, texts: Mapping[str, Any] | None) -> Iterator[Finding]:
    for name, value in (texts or {}).items():
        if not isinstance(value, str | None):
            message = f"the value must be a string, not {type(value).__name__}"
            code = f"{path.rpartition('.')[2]}-text"
            yield Finding(code, f"{path}.{name}", message, "quote it")


def _check_files(path: str, files: Iterable[File]) -> Iterator[Finding]:
    for number, file in enumerate(files):
        at = f"{path}[{number}]"
        if not (file.guest_path or "").startswith("/"):
            message = f"{shown(file.guest_path)} is not an absolute path"
            yield Finding("file-path", f"{at}.guest_path", message, 'use one such as "/etc/app.conf"')
        # The content comes from:
        # 1. exactly one source, or an empty raw_value, which makes an empty file: valid;
        # 2. a local_path, which only flyctl reads: refused, with its own advice;
        # 3. an unknown key, which may be a new kind of source: left to the API;
        # 4. none or several sources: refused.
        sources = [name for name in _SOURCES if getattr(file, name)]
        is_empty = not sources and file.raw_value is not None
        if not sources and "local_path" in file.extra:
            message = "the content comes from local_path, which only flyctl supports, not the API"
            yield Finding("file-source", at, message, f"read the file, and set exactly one of {', '.join(_SOURCES)}")
        elif len(sources) != 1 and not is_empty and not file.extra:
            message = f"{' and '.join(sources)} are set" if sources else "the file has no content"
            yield Finding("file-source", at, message, f"set exactly one of {', '.join(_SOURCES)}")
        try:
            # Like Go's decoder, ignore line breaks.
            base64.b64decode((file.raw_value or "").translate({10: None, 13: None}), validate=True)
        except (binascii.Error, ValueError):
            message = "the content is not base64"
            yield Finding("file-base64", f"{at}.raw_value", message, "encode it as base64")


def _check_service(path: str, service: Service) -> Iterator[Finding]:
    # Unlike autostop, autostart can only be a boolean.
    autostart: Any = service.autostart
    if not isinstance(autostart, bool | None):
        message = f"{shown(autostart)} is not a boolean"
        yield Finding("autostart", f"{path}.autostart", message, "use True or False")
    for number, port in enumerate(service.ports or ()):
        if port.force_https and "http" not in (port.handlers or ()):
            message = "only the http handler can redirect to https"
            advice = "add the handler http, or remove force_https"
            yield Finding("force-https", f"{path}.ports[{number}].force_https", message, advice)
