"""Whether the command runs in GitHub Actions, and texts in which its runner finds no command."""

import os
import re

_LEADING = re.compile(r"^(\s*):(?=:)", re.MULTILINE)


def is_in_actions(stated: bool | None = None) -> bool:  # noqa: FBT001 - the value of an option
    """Whether it does: as `--github` or `--no-github` states, else by the environment."""
    return os.environ.get("GITHUB_ACTIONS") == "true" if stated is None else stated


def inert(text: str) -> str:
    """Return a text in which the runner finds no command.

    It takes a line that begins with `::`, after spaces, or that contains `##[` anywhere, for one.
    """
    return _LEADING.sub(r"\1: ", text).replace("##[", "## [")
