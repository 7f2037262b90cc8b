"""The virtual hardware of a machine, and the named sizes."""

from collections.abc import Mapping, Sequence
from difflib import get_close_matches
from typing import Final, NamedTuple, Self

from attrs import frozen

from flyasync.errors import InvalidInput
from flyasync.models.model import Model, settled


class Preset(NamedTuple):
    """A named size; `memory_mb` is its minimum memory, `max_memory_mb` its maximum."""

    cpu_kind: str
    cpus: int
    memory_mb: int
    max_memory_mb: int
    gpu_kind: str | None = None


PRESETS: Final[Mapping[str, Preset]] = {
    "shared-cpu-1x": Preset("shared", 1, 256, 2048),
    "shared-cpu-2x": Preset("shared", 2, 512, 4096),
    "shared-cpu-4x": Preset("shared", 4, 1024, 8192),
    "shared-cpu-6x": Preset("shared", 6, 1536, 12288),
    "shared-cpu-8x": Preset("shared", 8, 2048, 16384),
    "performance-1x": Preset("performance", 1, 2048, 8192),
    "performance-2x": Preset("performance", 2, 4096, 16384),
    "performance-4x": Preset("performance", 4, 8192, 32768),
    "performance-6x": Preset("performance", 6, 12288, 49152),
    "performance-8x": Preset("performance", 8, 16384, 65536),
    "performance-10x": Preset("performance", 10, 20480, 81920),
    "performance-12x": Preset("performance", 12, 24576, 98304),
    "performance-14x": Preset("performance", 14, 28672, 114688),
    "performance-16x": Preset("performance", 16, 32768, 131072),
    "a100-40gb": Preset("performance", 8, 32768, 65536, "a100-pcie-40gb"),
    "a100-80gb": Preset("performance", 8, 32768, 65536, "a100-sxm4-80gb"),
    "l40s": Preset("performance", 8, 32768, 65536, "l40s"),
    "a10": Preset("performance", 8, 32768, 65536, "a10"),
}


@frozen(kw_only=True, repr=False, field_transformer=settled)
class Guest(Model):
    """The CPUs and memory of a machine.

    `cpu_kind` is `shared` or `performance`. `cpus` is 1, 2, 4, 6 or 8, and for performance also 10, 12, 14, 16, 32, 64
    or 128. `memory_mb` is a multiple of 256 (performance: 1024), from 256 to 2048 per CPU (performance: 2048 to 8192).
    `max_memory_mb` is the maximum for memory changes while the machine runs. The machine is placed on a host that has
    the `required_host_features`. docs: machines/api/machines-resource
    """

    cpu_kind: str | None = None
    cpus: int | None = None
    memory_mb: int | None = None
    max_memory_mb: int | None = None
    gpu_kind: str | None = None
    gpus: int | None = None
    host_dedication_id: str | None = None
    kernel_args: Sequence[str] | None = None
    required_host_features: Sequence[str] | None = None
    persist_rootfs: str | int | None = None  # the old place of `rootfs.persist`

    @classmethod
    def of_size(cls, size: str, memory_mb: int | None = None) -> Self:
        """Return the guest for a named size such as `shared-cpu-2x`, with its minimum memory unless `memory_mb` is set.

        Raises InvalidInput for an unknown size.
        """
        preset = PRESETS.get(size)
        if preset is None:
            close = get_close_matches(size, PRESETS, n=1)
            hint = f"did you mean {close[0]!r}? " if close else ""
            raise InvalidInput(f"{size!r} is not a machine size: {hint}the sizes are {', '.join(PRESETS)}")
        return cls(
            cpu_kind=preset.cpu_kind,
            cpus=preset.cpus,
            memory_mb=preset.memory_mb if memory_mb is None else memory_mb,
            gpu_kind=preset.gpu_kind,
            gpus=None if preset.gpu_kind is None else 1,
        )
