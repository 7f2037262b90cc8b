"""For tests of programs that use flyasync.

`mock_machine` returns a machine like one of the API. `trouble` injects faults into an emulator for the duration of
a block or of a test. `EmulatorThread` serves an emulator to synchronous code. `VirtualTimeLoop` and `run_virtual` run
an asyncio program, sockets included, without waiting.

The fixtures `fly_emulator`, `fly` and `fly_environment` come with the pytest plugin: see `flyasync.testing.plugin`.
Names are loaded on first use, so that a test run without these fixtures does not pay for them.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from flyasync.testing.emulator_thread import EmulatorThread as EmulatorThread
    from flyasync.testing.faults import trouble as trouble
    from flyasync.testing.machines import mock_machine as mock_machine
    from flyasync.testing.virtual_time import VirtualTimeLoop as VirtualTimeLoop, run_virtual as run_virtual

_HOMES = {
    "EmulatorThread": "flyasync.testing.emulator_thread",
    "VirtualTimeLoop": "flyasync.testing.virtual_time",
    "mock_machine": "flyasync.testing.machines",
    "run_virtual": "flyasync.testing.virtual_time",
    "trouble": "flyasync.testing.faults",
}

__all__ = list(_HOMES)


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'flyasync.testing' has no attribute {name!r}")
    value = globals()[name] = getattr(import_module(_HOMES[name]), name)
    return value
