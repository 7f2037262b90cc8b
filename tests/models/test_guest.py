"""Sizes by name."""

import pytest

from flyasync.errors import InvalidInput
from flyasync.models.guest import PRESETS, Guest
from flyasync.models.lint.linter import check_guest


def test_a_size_is_a_guest() -> None:
    assert Guest.of_size("shared-cpu-2x") == Guest(cpu_kind="shared", cpus=2, memory_mb=512)
    assert Guest.of_size("performance-1x", memory_mb=4096).memory_mb == 4096
    assert Guest.of_size("a10") == Guest(cpu_kind="performance", cpus=8, memory_mb=32768, gpu_kind="a10", gpus=1)


@pytest.mark.parametrize("size", PRESETS)
def test_every_size_keeps_the_rules(size: str) -> None:
    preset = PRESETS[size]
    assert not list(check_guest(Guest.of_size(size)))
    assert not list(check_guest(Guest.of_size(size, memory_mb=preset.max_memory_mb)))


def test_an_unknown_size_is_refused_with_the_way_out() -> None:
    with pytest.raises(InvalidInput, match=r"'shared-cpu-3x' is not a machine size: did you mean 'shared-cpu-\dx'"):
        Guest.of_size("shared-cpu-3x")
    with pytest.raises(InvalidInput, match="'huge' is not a machine size: the sizes are shared-cpu-1x, "):
        Guest.of_size("huge")
