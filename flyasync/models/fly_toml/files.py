"""The sections `[[files]]` and `[[statics]]` of a fly.toml, and the files of its containers."""

import base64
from collections.abc import Callable

from attrs import evolve

from flyasync.errors import InvalidInput
from flyasync.models.config import Static
from flyasync.models.container import Container, File
from flyasync.models.fly_toml.section import Section
from flyasync.models.model import NOTHING_KEPT

ReadFile = Callable[[str], bytes]
"""Returns the content of a file that a fly.toml names. Raises InvalidInput for one that cannot be read."""


def file(section: Section, read_file: ReadFile) -> File | None:
    """Read one of `[[files]]`, with its content in base64; None if it has no content, which removes the file.

    A `raw_value` that is base64 is sent unchanged, as documented; flyctl encodes it once more. Any other text is
    encoded, as flyctl does.
    """
    path, local, raw, secret = (section.text(key) for key in ("guest_path", "local_path", "raw_value", "secret_name"))
    section.finish()
    if local:
        return File(guest_path=path, raw_value=_base64(_content(section, local, read_file)))
    if secret:
        return File(guest_path=path, secret_name=secret)
    if local is raw is secret is None:
        message = "no local_path, raw_value or secret_name, so the machine gets no such file"
        section.warn("file-source", "local_path", message, "set one of them, or remove the section")
    if raw and _is_base64(raw):
        message = "is base64, so it is sent unchanged, as documented; flyctl would encode it once more"
        section.warn("file-raw-value", "raw_value", message, "use local_path if the file must contain this very text")
        return File(guest_path=path, raw_value=raw)
    return File(guest_path=path, raw_value=_base64(raw.encode())) if raw else None


def container(top: Section, made: Container, read_file: ReadFile) -> Container:
    """Return a container of `machine_config`, with the content of its files that name a `local_path`."""
    files = []
    for file in made.files or ():
        # Only flyctl supports this key, not the API, so it is in `extra`.
        local = file.extra.get("local_path")
        if not local:
            files.append(file)
        elif not isinstance(local, str):
            top.wrong("machine_config", "has a file whose local_path is not a string")
            files.append(file)
        else:
            left = {key: value for key, value in file.extra.items() if key != "local_path"}
            content = _content(top, local, read_file, key="machine_config")
            files.append(evolve(file, raw_value=_base64(content), extra=left or NOTHING_KEPT))
    return evolve(made, files=files) if files else made


def _content(section: Section, path: str, read_file: ReadFile, *, key: str = "local_path") -> bytes:
    try:
        return read_file(path)
    except InvalidInput as error:
        section.wrong(key, f"names a file, but {error}")
        return b""


def _base64(content: bytes) -> str:
    return base64.b64encode(content).decode()


def _is_base64(text: str) -> bool:
    try:
        base64.b64decode(text.translate({10: None, 13: None}), validate=True)
    except ValueError:
        return False
    return True


def static(section: Section) -> Static:
    """Read one of `[[statics]]`; what it does not state is an empty string, as flyctl sends it."""
    made = Static(
        guest_path=section.text("guest_path"),
        url_prefix=section.text("url_prefix"),
        tigris_bucket=section.text("tigris_bucket") or "",
        index_document=section.text("index_document") or "",
    )
    section.finish()
    return made
