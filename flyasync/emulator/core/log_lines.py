"""What the platform writes into an app's log about its machines."""

from typing import Any

Words = tuple[str, str]

_WORDS: dict[tuple[str, str], Words] = {
    ("launch", "created"): ("info", "Pulling container image"),
    ("start", "starting"): ("info", "Starting machine"),
    ("start", "started"): ("info", "Machine started"),
    ("start", "failed"): ("error", "Machine failed to start"),
    ("launch", "launch_failed"): ("error", "Failed to launch machine"),
    ("suspend", "suspended"): ("info", "Machine suspended"),
    ("destroy", "destroyed"): ("info", "Machine destroyed"),
}


def worded(event: str, status: str, request: dict[str, Any] | None) -> Words | None:
    """Give the level and message for an event, None for one that the log passes over."""
    return _exit(request or {}) if event == "exit" else _WORDS.get((event, status))


def _exit(request: dict[str, Any]) -> Words:
    exit_event = request.get("exit_event") or {}
    code = exit_event.get("exit_code", 0)
    ending = "restarting" if exit_event.get("restarting") else "not restarting"
    return ("error" if code else "info", f"machine exited with exit code {code}, {ending}")
