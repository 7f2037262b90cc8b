"""What runs inside a machine, as far as it is pretended: commands have scripted outputs, processes are read off."""

import shlex
from collections.abc import Mapping
from fnmatch import fnmatchcase
from typing import Any

from attrs import frozen

from flyasync.emulator.errors import bad_request

_SORTABLE = ("pid", "cpu", "rss", "rtime", "stime", "command")
_NOT_FOUND = 127


@frozen(kw_only=True)
class Output:
    """How a command ended, and what it wrote."""

    stdout: str = ""
    stderr: str = ""
    exit_code: int = 0
    exit_signal: int = 0


def words(command: list[str] | None, cmd: str | None) -> list[str]:
    """Read a command in either form the API takes."""
    try:
        found = list(command or ()) or shlex.split(cmd or "")
    except ValueError as error:
        raise bad_request(f"invalid cmd: {error}") from None
    if not found:
        raise bad_request("command is required")
    return found


def run(scripted: Mapping[str, Output], command: list[str]) -> Output:
    """Give the output of the first shell-style pattern that fits; without one only echo, true and false are known."""
    line = shlex.join(command)
    for pattern, output in scripted.items():
        if fnmatchcase(line, pattern) or fnmatchcase(" ".join(command), pattern):
            return output
    return _builtin(command[0], command[1:])


def running(config: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Give the processes of a machine with such a config: init, and the one that listens on its services' ports."""
    ports = [service.get("internal_port") for service in config.get("services") or ()]
    init = config.get("init") or {}
    command = shlex.join(init.get("exec") or [*(init.get("entrypoint") or ()), *(init.get("cmd") or ())])
    sockets = [{"proto": "tcp", "address": f"[::]:{port}"} for port in ports if port]
    return [_process(1, "/fly/init", []), _process(315, command or str(config.get("image")), sockets)]


def ordered(found: list[dict[str, Any]], sort_by: str, order: str) -> list[dict[str, Any]]:
    """Sort processes by one of their numbers or their command, as asked."""
    if (sort_by or "pid") not in _SORTABLE:
        raise bad_request(f"invalid sort_by: {sort_by!r}")
    if order not in {"", "asc", "desc"}:
        raise bad_request(f"invalid order: {order!r}")
    return sorted(found, key=lambda process: process[sort_by or "pid"], reverse=order == "desc")


def _builtin(name: str, arguments: list[str]) -> Output:
    if name in {"true", "false"}:
        return Output(exit_code=int(name == "false"))
    if name == "echo":
        return Output(stdout=" ".join(arguments) + "\n")
    return Output(stderr=f"{name}: command not found\n", exit_code=_NOT_FOUND)


def _process(pid: int, command: str, sockets: list[dict[str, str]]) -> dict[str, Any]:
    return {
        "pid": pid,
        "stime": 2 * pid,
        "rtime": 3 * pid,
        "command": command,
        "directory": "/",
        "cpu": 0,
        "rss": 1024 * pid,
        "listen_sockets": sockets,
    }
