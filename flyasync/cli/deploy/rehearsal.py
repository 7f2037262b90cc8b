"""A rehearsal (`--local`): an emulator replaces Fly.io while the command runs."""

from collections.abc import Mapping

import click
from attrs import field, frozen

from flyasync.cli.deploy.options import RehearsalOptions
from flyasync.emulator.core.faults import Fault
from flyasync.emulator.server import Emulator
from flyasync.errors import InvalidInput


@frozen(kw_only=True)
class Rehearsal:
    """The settings of the emulator of a rehearsal."""

    capacity: Mapping[str, int] = field(factory=dict)
    seed: int | None = None
    boot: float | None = None
    faults: tuple[Fault, ...] = ()

    @classmethod
    def of(cls, options: RehearsalOptions) -> "Rehearsal | None":
        """Return the settings, None without `--local`; raises UsageError for options that need it."""
        if options.local:
            return cls(capacity=options.capacity, seed=options.seed, boot=options.boot, faults=options.faults)
        if options.capacity or options.faults or options.seed is not None or options.boot is not None:
            raise click.UsageError(
                "--capacity, --seed, --boot and --fault are settings of the emulator, so they need --local"
            )
        return None

    def emulator(self) -> Emulator:
        """Return the emulator; raises InvalidInput for invalid settings."""
        # A single value gives all boots the same duration, so that the times can be checked by hand.
        boot = (1.0, 3.0) if self.boot is None else (self.boot, self.boot)
        try:
            return Emulator(capacity=self.capacity, seed=self.seed or 0, boot=boot, faults=self.faults)
        except ValueError as error:
            raise InvalidInput(str(error)) from error
