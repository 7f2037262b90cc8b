"""The JSON text of a machine, kept because clients read machines more often than these change."""

from attrs import define

from flyasync.emulator.core.go_json import Json


@define
class MachineText:
    """The JSON text of a machine up to its config, valid until a time of the world, and the text of its config."""

    head: bytes
    valid_until: float
    config: Json
    config_text: bytes

    def whole(self) -> bytes:
        """Return the JSON of the machine."""
        return b"%b%b}" % (self.head, self.config_text)
