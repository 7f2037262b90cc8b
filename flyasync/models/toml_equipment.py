"""Single sections of a fly.toml: the hardware, what is mounted and written, and what happens at an end."""

import base64
from collections.abc import Callable
from typing import Any, Final

from attrs import asdict, evolve

from flyasync.errors import InvalidInput
from flyasync.models.config import Metrics, Mount, Static
from flyasync.models.container import File, Restart
from flyasync.models.guest import Guest
from flyasync.models.toml_section import Section

ReadFile = Callable[[str], bytes]

_SMALLEST: Final = "shared-cpu-1x"
_SMALLEST_WITH_GPU: Final = "performance-8x"
_POLICIES: Final = {"never": "no", "no": "no", "always": "always", "on-failure": "on-failure", "on-fail": "on-failure"}


def guest(section: Section, host_dedication_id: str | None) -> Guest:
    """Read `[[vm]]`: the size first, then its memory, then what is said one by one."""
    memory_mb = section.size("memory", unit="m", thousand=1024)
    if memory_mb == 0:
        raise section.wrong("memory", "is nothing")
    size = section.text("size")
    own = _own_hardware(section)
    try:
        guest = Guest.of_size(size or (_SMALLEST_WITH_GPU if own.gpu_kind else _SMALLEST), memory_mb)
    except InvalidInput as error:
        raise section.wrong("size", f"is wrong: {error}") from None
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
    """Give the fields that say something; to flyctl an empty one says nothing."""
    return {name: value for name, value in asdict(guest, recurse=False).items() if value and name != "extra"}


def mount(section: Section) -> Mount:
    """Read one of `[[mounts]]`, without what only says how the volume is made."""
    section.ignore("processes", "initial_size", "snapshot_retention", "scheduled_snapshots")  # for making the volume
    made = Mount(
        name=section.text("source"),
        path=section.text("destination"),
        extend_threshold_percent=section.integer("auto_extend_size_threshold"),
        add_size_gb=section.size("auto_extend_size_increment", unit="g", thousand=1000),
        size_gb_limit=section.size("auto_extend_size_limit", unit="g", thousand=1000),
    )
    section.finish()
    return made


def file(section: Section, read_file: ReadFile) -> File:
    """Read one of `[[files]]`; the content is in base64 from here on."""
    path, local, raw, secret = (section.text(key) for key in ("guest_path", "local_path", "raw_value", "secret_name"))
    mode = section.integer("mode")
    section.finish()
    if local:
        return File(guest_path=path, raw_value=_base64(read_file(local)), mode=mode)
    if secret:
        return File(guest_path=path, secret_name=secret, mode=mode)
    if raw is None:
        raise section.wrong("local_path", "is missing, and so are raw_value and secret_name")
    return File(guest_path=path, raw_value=_base64(raw.encode()), mode=mode)


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
        raise section.wrong("policy", f"is {policy!r}, but must be never, always or on-failure")
    return Restart(policy=_POLICIES[policy], max_retries=retries)
