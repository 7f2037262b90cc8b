"""Fleet: what is there, as one value."""

from attrs import frozen

from flyasync.models.machine import Machine


@frozen
class Fleet:
    """The machines of an app that concern a deploy, as they were when it looked."""

    app: str
    machines: tuple[Machine, ...]

    def named(self, name: str) -> Machine | None:
        """Give the machine of this name."""
        return next((machine for machine in self.machines if machine.name == name), None)
