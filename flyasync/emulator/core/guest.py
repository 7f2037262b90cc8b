"""The sizes of machines: presets, defaults and limits."""

from typing import Any

from attrs import frozen

from flyasync.emulator.core.errors import ApiError, bad_request

Guest = dict[str, Any]


@frozen(kw_only=True)
class GuestKind:
    """The limits of one kind of CPU; memory in MB, `least` and `most` per CPU."""

    cpus: tuple[int, ...]
    step: int
    least: int
    most: int


# The rules that flyctl checks before an update; the documentation states only "multiples of 256".
KINDS = {
    "shared": GuestKind(cpus=(1, 2, 4, 6, 8), step=256, least=256, most=2048),
    "performance": GuestKind(cpus=(1, 2, 4, 6, 8, 10, 12, 14, 16, 32, 64, 128), step=1024, least=2048, most=8192),
}
GPUS = {"a10": "a10", "l40s": "l40s", "a100-40gb": "a100-pcie-40gb", "a100-80gb": "a100-sxm4-80gb"}


def presets() -> dict[str, Guest]:
    """Return the presets by name."""
    cpus = {"shared-cpu": ("shared", (1, 2, 4, 6, 8)), "performance": ("performance", (1, 2, 4, 6, 8, 10, 12, 14, 16))}
    found = {
        f"{prefix}-{count}x": _smallest(kind, count) for prefix, (kind, counts) in cpus.items() for count in counts
    }
    return found | {name: _with_gpu(kind) for name, kind in GPUS.items()}


def filled(config: dict[str, Any]) -> Guest:
    """Return the guest of a config from `guest` or `size`, with defaults; raise 400 or 422 if it is invalid."""
    size, guest = config.get("size"), config.get("guest")
    if size and guest:
        raise bad_request("config.size and config.guest are mutually exclusive")
    if size:
        if size not in (known := presets()):
            raise bad_request(f"invalid machine size requested, '{size}'")
        return known[size]

    found: Guest = dict(guest or {})
    if found.get("gpu_kind"):
        # A GPU without a size comes with performance-8x.
        found = _with_gpu(found["gpu_kind"]) | {key: value for key, value in found.items() if value}
    else:
        name = found.get("cpu_kind") or "shared"
        if name not in KINDS:
            raise bad_request(f"invalid config.guest.cpu_kind: {name!r}")
        least = _smallest(name, found.get("cpus") or 1)
        found |= least | {"memory_mb": found.get("memory_mb") or least["memory_mb"]}

    name, cpus, memory = found["cpu_kind"], found["cpus"], found["memory_mb"]
    kind = KINDS[name]
    if cpus not in kind.cpus:
        raise _misfit(f"{cpus} {name} cpus is not a size on offer")
    if memory % kind.step:
        raise _misfit(f"memory_mb must be a multiple of {kind.step} for {name} cpus")
    if not cpus * kind.least <= memory <= cpus * kind.most:
        raise _misfit(f"{cpus} {name} cpus take {cpus * kind.least} to {cpus * kind.most} MB of memory, not {memory}")
    return found


def _smallest(kind: str, cpus: int) -> Guest:
    return {"cpu_kind": kind, "cpus": cpus, "memory_mb": cpus * KINDS[kind].least}


def _with_gpu(gpu_kind: str) -> Guest:
    return {"cpu_kind": "performance", "cpus": 8, "memory_mb": 32768, "gpu_kind": gpu_kind, "gpus": 1}


def _misfit(text: str) -> ApiError:
    return ApiError(422, f"invalid config.guest: {text}")
