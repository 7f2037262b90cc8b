"""The files that commands in a machine see: those of its config, and what commands wrote since it booted."""

import base64
import binascii
from collections.abc import Mapping

from flyasync.emulator.core.errors import bad_request
from flyasync.emulator.core.go_json import Json
from flyasync.emulator.core.resources import SecretRecord


def demand_readable(config: Json) -> None:
    """Refuse a config with a file whose content is not base64."""
    for file in config.get("files") or ():
        try:
            _content(file.get("raw_value") or "")
        except binascii.Error:
            raise bad_request(f"config.files: illegal base64 data in {file.get('guest_path')!r}") from None


def at_boot(config: Json, secrets: Mapping[str, SecretRecord], before: Mapping[str, bytes]) -> dict[str, bytes]:
    """Return the files of a machine that boots: those of its config, and of those before what is on its volume."""
    roots = tuple(f"{mount['path'].rstrip('/')}/" for mount in config.get("mounts") or ())
    kept = {path: content for path, content in before.items() if roots and path.startswith(roots)}
    return kept | {
        file["guest_path"]: _written(file, secrets) for file in config.get("files") or () if file.get("guest_path")
    }


def _written(file: Json, secrets: Mapping[str, SecretRecord]) -> bytes:
    if not file.get("secret_name"):
        return _content(file.get("raw_value") or "")
    secret = secrets.get(file["secret_name"])
    try:
        return _content(secret.value) if secret else b""
    except binascii.Error:
        return b""


def _content(text: str) -> bytes:
    # A text that is not ASCII raises a plain ValueError.
    return base64.b64decode(text.encode(), validate=True)
