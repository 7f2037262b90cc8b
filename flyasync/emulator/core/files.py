"""The files of a machine as its commands see them: those of its config, and those written since it booted."""

import base64
import binascii
from collections.abc import Mapping

from flyasync.emulator.core.errors import bad_request
from flyasync.emulator.core.go_json import Json
from flyasync.emulator.core.records import SecretRecord


def demand_readable(config: Json) -> None:
    """Raise 400 for a config with a file whose content is not base64."""
    for file in config.get("files") or ():
        try:
            _content(file.get("raw_value") or "")
        except binascii.Error:
            raise bad_request(f"config.files: illegal base64 data in {file.get('guest_path')!r}") from None


def at_boot(config: Json, secrets: Mapping[str, SecretRecord], before: Mapping[str, bytes]) -> dict[str, bytes]:
    """Return the files of a machine that boots: those of its config, and the earlier ones on its volume."""
    # A boot recreates the root filesystem from the image; only the files on a volume stay.
    roots = tuple(f"{mount['path'].rstrip('/')}/" for mount in config.get("mounts") or ())
    found = {path: content for path, content in before.items() if roots and path.startswith(roots)}
    for file in config.get("files") or ():
        if not file.get("guest_path"):
            continue
        if not file.get("secret_name"):
            found[file["guest_path"]] = _content(file.get("raw_value") or "")
            continue
        # The value of a secret must be base64, but is not validated before: a value that cannot be decoded is empty.
        secret = secrets.get(file["secret_name"])
        try:
            found[file["guest_path"]] = _content(secret.value) if secret else b""
        except binascii.Error:
            found[file["guest_path"]] = b""
    return found


def _content(text: str) -> bytes:
    # Encoded first: for text that is not ASCII, b64decode raises a plain ValueError instead of binascii.Error.
    return base64.b64decode(text.encode(), validate=True)
