"""The JSON text of a machine, kept because clients read machines more often than these change."""

from attrs import define

from flyasync.emulator.core.go_json import Json


@define
class MachineText:
    """The JSON text of a machine, valid until a time of the world; its config, and where the text of that begins."""

    whole: bytes
    valid_until: float
    config: Json
    config_at: int

    def renew(self, head: bytes, valid_until: float) -> None:
        """Replace what stands before the config."""
        self.whole = head + self.whole[self.config_at :]
        self.config_at, self.valid_until = len(head), valid_until
