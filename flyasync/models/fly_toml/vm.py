"""The sections `[[vm]]` and `[[restart]]` of a fly.toml: the hardware, and the restart policy."""

from typing import Any, Final

from attrs import asdict, evolve

from flyasync.errors import InvalidInput
from flyasync.models.container import Restart
from flyasync.models.fly_toml.section import Section
from flyasync.models.guest import Guest

_SMALLEST: Final = "shared-cpu-1x"
_SMALLEST_WITH_GPU: Final = "performance-8x"
_ROOTFS: Final = ("never", "always", "restart")
_POLICIES: Final = {"never": "no", "always": "always", "on-failure": "on-failure"}


def guest(section: Section, host_dedication_id: str | None) -> Guest:
    """Read one of `[[vm]]`: `size`, overridden by `memory`, overridden by the single fields.

    `kernel_args` may be a single string, as documented; flyctl requires a list. flyctl does not know
    `required_host_features` yet, and leaves them out.
    """
    memory_mb = section.size("memory", unit="m", thousand=1024)
    if memory_mb == 0:
        section.wrong("memory", "must be more than 0")
    size = section.text("size")
    own = Guest(
        cpu_kind=section.text("cpu_kind"),
        cpus=section.integer("cpus"),
        memory_mb=section.integer("memory_mb"),
        max_memory_mb=section.integer("max_memory_mb"),
        gpu_kind=section.text("gpu_kind"),
        gpus=section.integer("gpus"),
        host_dedication_id=section.text("host_dedication_id"),
        kernel_args=section.words("kernel_args"),
        required_host_features=section.texts("required_host_features"),
        persist_rootfs=section.text("persist_rootfs"),
    )
    section.finish()
    if own.persist_rootfs and own.persist_rootfs not in _ROOTFS:
        section.wrong("persist_rootfs", f"is {own.persist_rootfs!r}, but must be {', '.join(_ROOTFS)}")
    if memory_mb and own.memory_mb and memory_mb != own.memory_mb:
        message = f"{own.memory_mb} contradicts memory ({memory_mb} MB); memory_mb is used"
        section.warn("memory-twice", "memory_mb", message, "keep one of the two")
    try:
        guest = Guest.of_size(size or (_SMALLEST_WITH_GPU if own.gpu_kind else _SMALLEST), memory_mb)
    except InvalidInput as error:
        section.wrong("size", f"is wrong: {error}")
        guest = Guest()
    # The host at the top level is the default; a section may override it.
    return evolve(guest, **{**_set_in(Guest(host_dedication_id=host_dedication_id)), **_set_in(own)})


def _set_in(guest: Guest) -> dict[str, Any]:
    """Return the fields that are set; as in flyctl, an empty value means unset."""
    return {name: value for name, value in asdict(guest, recurse=False).items() if value and name != "extra"}


def restart(section: Section) -> Restart:
    """Read one of `[[restart]]`. The policy `never` of fly.toml is `no` in the API."""
    policy, retries = section.text("policy") or "", section.integer("retries")
    section.finish()
    if policy not in _POLICIES:
        section.wrong("policy", f"is {policy!r}, but must be never, always or on-failure")
    return Restart(policy=_POLICIES.get(policy), max_retries=retries)
