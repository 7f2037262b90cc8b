"""Single sections of a fly.toml: the hardware, what is mounted and written, and what happens at an end."""

import base64
from collections.abc import Callable
from typing import Any, Final

from attrs import asdict, evolve, frozen

from flyasync.errors import InvalidInput
from flyasync.models.config import Metrics, Mount, Static
from flyasync.models.container import Container, File, Restart
from flyasync.models.fly_toml.section import Section
from flyasync.models.guest import Guest
from flyasync.models.model import NOTHING_KEPT

ReadFile = Callable[[str], bytes]
"""Return the bytes of a file that a fly.toml names; raises InvalidInput for one that cannot be read."""

_SMALLEST: Final = "shared-cpu-1x"
_SMALLEST_WITH_GPU: Final = "performance-8x"
_POLICIES: Final = {"never": "no", "no": "no", "always": "always", "on-failure": "on-failure", "on-fail": "on-failure"}


def guest(section: Section, host_dedication_id: str | None) -> Guest:
    """Read `[[vm]]`: the size first, then its memory, then what is said one by one."""
    memory_mb = section.size("memory", unit="m", thousand=1024)
    if memory_mb == 0:
        section.wrong("memory", "is nothing")
    size = section.text("size")
    own = _own_hardware(section)
    if memory_mb and own.memory_mb and memory_mb != own.memory_mb:
        message = f"{own.memory_mb} contradicts memory, which is {memory_mb} MB; memory_mb wins"
        section.warn("memory-twice", "memory_mb", message, "keep one of the two")
    try:
        guest = Guest.of_size(size or (_SMALLEST_WITH_GPU if own.gpu_kind else _SMALLEST), memory_mb)
    except InvalidInput as error:
        section.wrong("size", f"is wrong: {error}")
        guest = Guest()
    return evolve(guest, **{**_set_in(Guest(host_dedication_id=host_dedication_id)), **_set_in(own)})


def _own_hardware(vm: Section) -> Guest:
    own = Guest(
        cpu_kind=vm.text("cpu_kind"),
        cpus=vm.integer("cpus"),
        memory_mb=vm.integer("memory_mb"),
        max_memory_mb=vm.integer("max_memory_mb"),
        gpu_kind=vm.text("gpu_kind"),
        gpus=vm.integer("gpus"),
        host_dedication_id=vm.text("host_dedication_id"),
        kernel_args=vm.texts("kernel_args"),
        persist_rootfs=vm.text("persist_rootfs"),
    )
    vm.finish()
    return own


def _set_in(guest: Guest) -> dict[str, Any]:
    """Return the fields that say something; to flyctl an empty one says nothing."""
    return {name: value for name, value in asdict(guest, recurse=False).items() if value and name != "extra"}


@frozen(kw_only=True)
class MountSection:
    """A mount, and how the volume for it is made where there is none: none of that is in a machine's config."""

    mount: Mount
    initial_size_gb: int | None = None
    snapshot_retention: int | None = None
    scheduled_snapshots: bool | None = None


def mount(section: Section) -> MountSection:
    """Read one of `[[mounts]]`."""
    made = MountSection(
        mount=Mount(
            name=section.text("source"),
            path=section.text("destination"),
            extend_threshold_percent=section.integer("auto_extend_size_threshold"),
            add_size_gb=section.size("auto_extend_size_increment", unit="g", thousand=1000),
            size_gb_limit=section.size("auto_extend_size_limit", unit="g", thousand=1000),
        ),
        initial_size_gb=section.size("initial_size", unit="g", thousand=1000),
        snapshot_retention=section.integer("snapshot_retention"),
        scheduled_snapshots=section.flag("scheduled_snapshots"),
    )
    section.finish()
    return made


def file(section: Section, read_file: ReadFile) -> File | None:
    """Read one of `[[files]]`, with its content in base64; None for one whose source is empty, which flyctl removes."""
    path, local, raw, secret = (section.text(key) for key in ("guest_path", "local_path", "raw_value", "secret_name"))
    mode = section.integer("mode")
    section.finish()
    if local:
        return File(guest_path=path, raw_value=_base64(_content(section, local, read_file)), mode=mode)
    if secret:
        return File(guest_path=path, secret_name=secret, mode=mode)
    if local is raw is secret is None:
        section.wrong("local_path", "is missing, and so are raw_value and secret_name")
    return File(guest_path=path, raw_value=_base64(raw.encode()), mode=mode) if raw else None


def container(top: Section, made: Container, read_file: ReadFile) -> Container:
    """Return a container of `machine_config` whose files have the content of the `local_path` that they name."""
    if not any("local_path" in file.extra for file in made.files or ()):
        return made
    return evolve(made, files=[_with_content(top, file, read_file) for file in made.files or ()])


def _with_content(top: Section, made: File, read_file: ReadFile) -> File:
    local = made.extra.get("local_path")
    if not local:
        return made
    if not isinstance(local, str):
        top.wrong("machine_config", "has a file whose local_path is not text")
        return made
    left = {key: value for key, value in made.extra.items() if key != "local_path"}
    content = _content(top, local, read_file, key="machine_config")
    return evolve(made, raw_value=_base64(content), extra=left or NOTHING_KEPT)


def _content(section: Section, path: str, read_file: ReadFile, *, key: str = "local_path") -> bytes:
    try:
        return read_file(path)
    except InvalidInput as error:
        section.wrong(key, f"names a file, but {error}")
        return b""


def _base64(content: bytes) -> str:
    return base64.b64encode(content).decode()


def static(section: Section) -> Static:
    """Read one of `[[statics]]`."""
    made = Static(
        guest_path=section.text("guest_path"),
        url_prefix=section.text("url_prefix"),
        tigris_bucket=section.text("tigris_bucket"),
        index_document=section.text("index_document"),
    )
    section.finish()
    return made


def metrics(section: Section) -> Metrics:
    """Read one of `[[metrics]]`."""
    made = Metrics(port=section.integer("port"), path=section.text("path"), https=section.flag("https"))
    section.finish()
    return made


def restart(section: Section) -> Restart:
    """Read one of `[[restart]]`; what is `never` in fly.toml is `no` in the API."""
    policy, retries = section.text("policy") or "", section.integer("retries")
    section.finish()
    if policy not in _POLICIES:
        section.wrong("policy", f"is {policy!r}, but must be never, always or on-failure")
    return Restart(policy=_POLICIES.get(policy), max_retries=retries)
