"""An emulator that is killed under load loses nothing of its state, at the smallest size of its benchmark."""

import asyncio
from pathlib import Path

from benchmarks import emulator_state


def test_a_killed_emulator_has_every_change_that_it_acknowledged(tmp_path: Path) -> None:
    results = asyncio.run(emulator_state.kill(tmp_path / "state", 2))
    assert [lost for _, lost in results] == [[], []]
    assert all(acknowledged > 0 for acknowledged, _ in results)


def test_a_lost_change_is_seen() -> None:
    ledger = emulator_state.Ledger({("machine", "a"): "1", ("machine", "b"): "1"}, {("machine", "b"): "2"})
    assert ledger.lost({("machine", "b"): "2"}) == ["machine a is None, but 1 was acknowledged"]
    assert ledger.kept == {("machine", "a"): "1", ("machine", "b"): "2"}
