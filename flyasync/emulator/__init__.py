"""A local Fly.io Machines API for tests and rehearsals; it imports nothing else of flyasync."""

from flyasync.emulator.core.accepted_token import AcceptedToken
from flyasync.emulator.core.faults import Fault
from flyasync.emulator.core.processes import Output
from flyasync.emulator.server import Emulator
from flyasync.emulator.world.reach import PortReach

__all__ = ["AcceptedToken", "Emulator", "Fault", "Output", "PortReach"]
