"""The JSON text of a machine, kept because clients read machines more often than these change."""

from attrs import frozen

from flyasync.emulator.core.go_json import Json


@frozen
class MachineText:
    """The JSON text of a machine, the state that it shows, and the text of its config alone."""

    state: tuple[object, ...]
    text: str
    config: Json
    config_text: str
