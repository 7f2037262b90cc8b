"""How big a machine may be: presets, defaults, and the sizes that fit."""

from typing import Any

from attrs import frozen

from flyasync.emulator.core.errors import ApiError, bad_request

Guest = dict[str, Any]


@frozen(kw_only=True)
class GuestKind:
    """The rules of one kind of processor; memory in MB, `least` and `most` for each cpu."""

    cpus: tuple[int, ...]
    step: int
    least: int
    most: int


KINDS = {
    "shared": GuestKind(cpus=(1, 2, 4, 6, 8), step=256, least=256, most=2048),
    "performance": GuestKind(cpus=(1, 2, 4, 6, 8, 10, 12, 14, 16, 32, 64, 128), step=1024, least=2048, most=8192),
}
GPUS = {"a10": "a10", "l40s": "l40s", "a100-40gb": "a100-pcie-40gb", "a100-80gb": "a100-sxm4-80gb"}


def presets() -> dict[str, Guest]:
    """Give every preset by name."""
    cpus = {"shared-cpu": ("shared", (1, 2, 4, 6, 8)), "performance": ("performance", (1, 2, 4, 6, 8, 10, 12, 14, 16))}
    found = {
        f"{prefix}-{count}x": _smallest(kind, count) for prefix, (kind, counts) in cpus.items() for count in counts
    }
    return found | {name: _with_gpu(kind) for name, kind in GPUS.items()}


def filled(config: dict[str, Any]) -> Guest:
    """Give the guest a config asks for, by `guest` or `size`, defaults filled in; refuse one that cannot be."""
    size, guest = config.get("size"), config.get("guest")
    if size and guest:
        raise bad_request("config.size and config.guest are mutually exclusive")
    if size:
        return _preset(size)
    complete = _complete(dict(guest or {}))
    _demand_fit(complete)
    return complete


def _smallest(kind: str, cpus: int) -> Guest:
    return {"cpu_kind": kind, "cpus": cpus, "memory_mb": cpus * KINDS[kind].least}


def _with_gpu(gpu_kind: str) -> Guest:
    return {"cpu_kind": "performance", "cpus": 8, "memory_mb": 32768, "gpu_kind": gpu_kind, "gpus": 1}


def _preset(size: str) -> Guest:
    found = presets().get(size)
    if found is None:
        raise bad_request(f"invalid machine size requested, '{size}'")
    return found


def _complete(guest: Guest) -> Guest:
    if guest.get("gpu_kind"):
        return _with_gpu(guest["gpu_kind"]) | {key: value for key, value in guest.items() if value}
    kind = guest.get("cpu_kind") or "shared"
    if kind not in KINDS:
        raise bad_request(f"invalid config.guest.cpu_kind: {kind!r}")
    cpus = guest.get("cpus") or 1
    return guest | _smallest(kind, cpus) | {"memory_mb": guest.get("memory_mb") or cpus * KINDS[kind].least}


def _demand_fit(guest: Guest) -> None:
    kind, cpus, memory = KINDS[guest["cpu_kind"]], guest["cpus"], guest["memory_mb"]
    name = guest["cpu_kind"]
    if cpus not in kind.cpus:
        raise _misfit(f"{cpus} {name} cpus is not a size on offer")
    if memory % kind.step:
        raise _misfit(f"memory_mb must be a multiple of {kind.step} for {name} cpus")
    if not cpus * kind.least <= memory <= cpus * kind.most:
        raise _misfit(f"{cpus} {name} cpus take {cpus * kind.least} to {cpus * kind.most} MB of memory, not {memory}")


def _misfit(text: str) -> ApiError:
    return ApiError(422, f"invalid config.guest: {text}")
