"""Where the world of an emulator comes from, and the file that keeps it."""

from pathlib import Path
from typing import Any

from attrs import define, field

from flyasync.emulator.core.faults import Fault, Faults
from flyasync.emulator.core.go_json import Json
from flyasync.emulator.state import document
from flyasync.emulator.state.codec import WorldError
from flyasync.emulator.state.file import StateFile
from flyasync.emulator.world.world import ChangeObserver, World
from flyasync.emulator.world_options import WorldOptions


@define(eq=False)
class WorldSource:
    """The worlds of an emulator: that of the state file, else the copy of a document, else a new one.

    Each has the options, faults and observers of the emulator. While the state file is open, `save` writes to it what
    has changed in the world that was returned last.
    """

    options: WorldOptions
    faults: Faults
    state_path: str | Path | None = None
    observers: list[ChangeObserver] = field(factory=list, init=False)
    _first_faults: tuple[Fault, ...] = field(init=False)
    _document: Json | None = field(default=None, init=False)
    _file: StateFile | None = field(default=None, init=False)

    def __attrs_post_init__(self) -> None:
        self._first_faults = tuple(self.faults)

    def begin_with(self, found: Json) -> None:
        """Begin with a copy of this document instead of a new world; WorldError if it does not fit."""
        # Read now, so that a document that does not fit raises here.
        document.load(found, World(faults=Faults()))
        self._document = found

    def open(self) -> World:
        """Open the state file, if there is one, and return its world, else the first one."""
        if self.state_path is None:
            return self._first()
        self._file = StateFile(self.state_path)
        blank = self._first()
        world = self._file.read(blank)
        if world is not blank:
            if self._document is not None:
                raise WorldError(
                    f"{self.state_path} already has a world, which another one would replace: name a new file"
                )
            self._add_options(world)
        return self._kept(world)

    def restarted(self) -> World:
        """Return the first world again, with the faults of the start; the state file is not read."""
        self.faults.restart(self._first_faults)
        return self._kept(self._first())

    def loaded(self, world: Any) -> World:
        """Return the world of another document; WorldError if it does not fit, and then nothing changes."""
        return self._kept(document.load(world, self._new()))

    def save(self, world: World) -> None:
        """Write to the state file what has changed in the world."""
        if self._file is not None:
            self._file.save(world)

    def close(self) -> None:
        """Close the state file."""
        file, self._file = self._file, None
        if file is not None:
            file.close()

    def _new(self) -> World:
        return self.options.world(faults=self.faults, observers=self.observers)

    def _first(self) -> World:
        world = self._new()
        if self._document is not None:
            world = document.load(self._document, world)
            self._add_options(world)
        return world

    def _add_options(self, world: World) -> None:
        world.capacity |= self.options.capacity
        world.commands |= self.options.commands
        active = tuple(self.faults)
        self.faults.add(*(fault for fault in self._first_faults if fault not in active))

    def _kept(self, world: World) -> World:
        return world if self._file is None else document.tracked(world)
