"""Commands and processes in a machine: commands end as scripted, processes are derived from the config."""

import math
import shlex
from collections.abc import Mapping
from fnmatch import fnmatchcase
from typing import Any

from attrs import field, fields, frozen, validators

from flyasync.emulator.core.errors import bad_request

_SORTABLE = ("pid", "cpu", "rss", "rtime", "stime", "command")
# The exit code of a shell for a command that is not found.
NOT_FOUND = 127
# The process group of the machine that runs flyctl's release command.
_RELEASE = "fly_app_release_command"


@frozen(kw_only=True)
class Output:
    """The exit code and the output of a command.

    As the own command of a machine, it runs for `seconds` of emulated time; `exec` returns immediately.
    """

    stdout: str = field(default="", validator=validators.instance_of(str))
    stderr: str = field(default="", validator=validators.instance_of(str))
    exit_code: int = field(default=0, validator=validators.instance_of(int))
    exit_signal: int = field(default=0, validator=validators.instance_of(int))
    seconds: float = field(default=0.5, validator=[validators.ge(0), validators.lt(math.inf)])


def words(command: list[str] | None, cmd: str | None) -> list[str]:
    """Return a command in either form: `command` as in the documentation, `cmd` as the official client sends it."""
    try:
        found = list(command or ()) or shlex.split(cmd or "")
    except ValueError as error:
        raise bad_request(f"invalid cmd: {error}") from None
    if not found:
        raise bad_request("command is required")
    return found


def scripted_output(scripted: Mapping[str, Output], command: list[str]) -> Output | None:
    """Return the scripted output of the first pattern that matches a command."""
    # Both with and without shell quotes: a pattern may have either form.
    lines = (shlex.join(command), " ".join(command))
    return next((output for pattern, output in scripted.items() if any(fnmatchcase(x, pattern) for x in lines)), None)


def read_script(value: object) -> tuple[str, Output]:
    """Return the pattern and the output of a scripted command: the pattern is `command`, the rest are Output's fields.

    Raises a ValueError or TypeError for anything else.
    """
    if not isinstance(value, dict) or not isinstance(value.get("command"), str) or not value["command"]:
        raise ValueError('a scripted command must be an object such as {"command": "bin/migrate*", "exit_code": 1}')
    found = {key: item for key, item in value.items() if key != "command"}
    known = [each.name for each in fields(Output)]
    if unknown := sorted(found.keys() - known):
        raise ValueError(f"a scripted command has no field {unknown[0]!r}; it has command, {', '.join(known)}")
    return value["command"], Output(**found)


def ending(scripted: Mapping[str, Output], config: Mapping[str, Any]) -> Output | None:
    """Return how the own command of a machine with this config ends by itself; None if it keeps running."""
    command = _own(config)
    # 1. It is scripted, or an emulated program.
    if command and (known := scripted_output(scripted, command)):
        return known
    if command and command[0] in {"true", "false"}:
        return Output(exit_code=int(command[0] == "false"))
    if command and command[0] == "echo":
        return Output(stdout=" ".join(command[1:]) + "\n")
    # 2. Any other release command succeeds: one that never ended would make every rehearsal fail.
    return Output(seconds=1.0) if is_release(config) else None


def is_release(config: Mapping[str, Any]) -> bool:
    """Whether a machine with this config runs the release command of a deploy."""
    return (config.get("metadata") or {}).get("fly_process_group") == _RELEASE


def running(config: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Return the processes of a machine with this config: init, and the one that listens on its services' ports."""
    ports = [service.get("internal_port") for service in config.get("services") or ()]
    command = shlex.join(_own(config))
    sockets = [{"proto": "tcp", "address": f"[::]:{port}"} for port in ports if port]
    return [_process(1, "/fly/init", []), _process(315, command or str(config.get("image")), sockets)]


def ordered(found: list[dict[str, Any]], sort_by: str, order: str) -> list[dict[str, Any]]:
    """Return processes sorted by a number of theirs or by their command."""
    if (sort_by or "pid") not in _SORTABLE:
        raise bad_request(f"invalid sort_by: {sort_by!r}")
    if order not in {"", "asc", "desc"}:
        raise bad_request(f"invalid order: {order!r}")
    return sorted(found, key=lambda process: process[sort_by or "pid"], reverse=order == "desc")


def _own(config: Mapping[str, Any]) -> list[str]:
    # `exec` overrides the others; `cmd` has the arguments of the entrypoint.
    init = config.get("init") or {}
    return list(init.get("exec") or [*(init.get("entrypoint") or ()), *(init.get("cmd") or ())])


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
