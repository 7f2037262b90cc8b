"""What the API takes, but somebody will regret: each rule yields warnings. No warning repeats a secret."""

import re
from collections.abc import Iterator, Mapping, Sequence
from itertools import groupby, islice, pairwise
from typing import Any, Final

from flyasync.models.config import MachineConfig, Mount
from flyasync.models.container import Restart, StopConfig
from flyasync.models.guest import PRESETS
from flyasync.models.lint.finding import Finding, warning
from flyasync.models.lint.guest import warn_of_guest
from flyasync.models.model import unknown_in
from flyasync.models.redaction import holds_a_password, names_a_secret, shown
from flyasync.models.service import Check, Port, Service

_MOST_MB_TO_SUSPEND: Final = 2048
_LONGEST_STOP: Final = 300.0
_SHORTEST, _LONGEST = 1.0, 60.0  # seconds of a service's checks
_LEAST_PERCENT, _MOST_PERCENT = 50, 99
_MOST_ADD_GB: Final = 100
_MOST_GB: Final = 500
_POLICIES: Final = ("", "no", "always", "on-failure", "spot-price")
_SCHEDULES: Final = ("", "hourly", "daily", "weekly", "monthly")
_STOPS: Final = ("stop", "suspend")
_MOST_PORT: Final = 65535
# The names that people, and the frameworks they use, give to what works off a queue.
_WORKERS: Final = re.compile(
    r"(^|[^a-z])(workers?|queues?|jobs?|consumers?|background|cron|celery|sidekiq|rq|dramatiq|huey|arq|resque|bullmq)"
    r"($|[^a-z])",
    re.IGNORECASE,
)

# What says nothing of the work by itself: it starts what comes next, past its options and settings.
_SEPARATORS: Final = ("&&", "||", ";", "|", "&")
_LAUNCHERS: Final = re.compile(
    r"(ba|da|z)?sh|env|exec|tini|dumb-init|catatonit|gosu|su-exec|nice|nohup|python[\d.]*|uv|poetry|pipenv|hatch|pdm"
    r"|manage\.py|ruby|bundle|rails|rake|node|nodejs|deno|bun|bunx|npm|npx|yarn|pnpm|php\d*|artisan|console|java|run|x"
    r"|-.*|\w+=.*"
)


def warn(config: MachineConfig, *, skip_launch: bool | None = None) -> Iterator[Finding]:
    """Look for what is unwise in a config; `skip_launch` says how it is to be created."""
    for number, service in enumerate(config.services or ()):
        yield from _warn_of_service(f"services[{number}]", service)
    yield from _warn_of_ports_taken_twice(config.services or ())
    for name, check in (config.checks or {}).items():
        yield from _warn_of_check(f"checks.{name}", check)
    for number, mount in enumerate(config.mounts or ()):
        yield from _warn_of_mount(f"mounts[{number}]", mount)
    yield from warn_of_guest(config.guest) if config.guest is not None else ()
    yield from _warn_of_restart(config.restart)
    yield from _warn_of_stop(config.stop_config)
    yield from _warn_of_schedule(config, skip_launch=skip_launch)
    yield from _warn_of_suspend(config)
    yield from _warn_of_worker(config)
    yield from _warn_of_secrets(config)
    yield from _warn_of_unknown(config)


def _warn_of_service(path: str, service: Service) -> Iterator[Finding]:
    if service.internal_port is None:
        yield warning("service-port", f"{path}.internal_port", "no port to send traffic to", "name one")
    elif not 1 <= service.internal_port <= _MOST_PORT:
        message = f"{service.internal_port} is not a port: they go from 1 to {_MOST_PORT}"
        yield warning("service-port", f"{path}.internal_port", message, "name the one that the process listens on")
    if service.protocol is None:
        yield warning("service-protocol", f"{path}.protocol", "no protocol", "write tcp or udp")
    if service.autostop in _STOPS and not service.autostart:
        message = f"{service.autostop} without autostart: what the proxy stops never comes back"
        yield warning("autostop-without-autostart", f"{path}.autostop", message, "set both, or neither")
    if service.autostart and service.autostop == "off":
        message = "autostart without autostop: what the proxy starts runs for ever"
        yield warning("autostart-without-autostop", f"{path}.autostart", message, "set both, or neither")
    for number, port in enumerate(service.ports or ()):
        yield from _warn_of_port(f"{path}.ports[{number}]", port, service.protocol)
    for number, check in enumerate(service.checks or ()):
        yield from _warn_of_service_check(f"{path}.checks[{number}]", check)


def _warn_of_port(path: str, port: Port, protocol: str | None) -> Iterator[Finding]:
    first, last = _range(port)
    if first is None or last is None:
        message = "no port, so nothing is reached from outside"
        yield warning("public-port", path, message, "set port, or both start_port and end_port")
    elif not 1 <= first <= last <= _MOST_PORT:
        message = f"{first if first == last else f'{first} to {last}'} is not a port, or a range of them"
        yield warning("public-port", path, message, f"they go from 1 to {_MOST_PORT}, the lower first")
    if protocol == "udp" and port.handlers:
        yield warning("udp-handlers", f"{path}.handlers", "handlers read TCP only", "leave them empty for udp")


def _range(port: Port) -> tuple[int | None, int | None]:
    return (port.start_port, port.end_port) if port.port is None else (port.port, port.port)


def _warn_of_ports_taken_twice(services: Sequence[Service]) -> Iterator[Finding]:
    taken = sorted(
        (service.protocol or "tcp", first, last, f"services[{number}].ports[{inside}]")
        for number, service in enumerate(services)
        for inside, (first, last) in enumerate(map(_range, service.ports or ()))
        if first is not None and last is not None
    )
    for (protocol, _, until, path), (other_protocol, first, _, other_path) in pairwise(taken):
        if protocol == other_protocol and first <= until:
            message = f"the public port {first} is that of {path} too, and only one of them can have it"
            yield warning("port-twice", other_path, message, "keep one of the two, or change its port")


def _warn_of_check(path: str, check: Check) -> Iterator[Finding]:
    if check.port is None:
        message = "a check outside a service has no port to take over"
        yield warning("check-port", f"{path}.port", message, "name one")
    yield from _warn_of_type(path, check)


def _warn_of_service_check(path: str, check: Check) -> Iterator[Finding]:
    yield from _warn_of_type(path, check)
    for name in ("interval", "timeout", "grace_period"):
        seconds = getattr(check, name)
        shortest = 0.0 if name == "grace_period" else _SHORTEST
        if seconds and not shortest <= seconds <= _LONGEST:
            message = f"{seconds} will be moved into {shortest:g} s to {_LONGEST:g} s by the platform"
            yield warning("check-clamped", f"{path}.{name}", message, "write what will be done")


def _warn_of_type(path: str, check: Check) -> Iterator[Finding]:
    if check.type not in {"tcp", "http"}:
        yield warning(
            "check-type", f"{path}.type", f"{shown(check.type)} is no known kind of check", "write tcp or http"
        )


def _warn_of_mount(path: str, mount: Mount) -> Iterator[Finding]:
    threshold, step, limit = mount.extend_threshold_percent, mount.add_size_gb, mount.size_gb_limit
    if threshold and not _LEAST_PERCENT <= threshold <= _MOST_PERCENT:
        message = f"{threshold} percent is outside {_LEAST_PERCENT} to {_MOST_PERCENT}"
        yield warning("mount-threshold", f"{path}.extend_threshold_percent", message, "take a share in between")
    if threshold and not step:
        message = "a threshold, but nothing to grow by"
        yield warning("mount-step", f"{path}.add_size_gb", message, "say by how much: 1 to 100 GB")
    if step is not None and not 0 <= step <= _MOST_ADD_GB:
        message = f"{step} GB is outside 1 to {_MOST_ADD_GB}"
        yield warning("mount-step", f"{path}.add_size_gb", message, "take a smaller step")
    if limit is not None and not 0 <= limit <= _MOST_GB:
        message = f"{limit} GB is more than a volume can have: {_MOST_GB}"
        yield warning("mount-limit", f"{path}.size_gb_limit", message, f"take {_MOST_GB} or less; 0 is no limit")


def _warn_of_restart(restart: Restart | None) -> Iterator[Finding]:
    if restart is None:
        return
    if (restart.policy or "") not in _POLICIES:
        message = f"{shown(restart.policy)} is no known policy"
        yield warning("restart-policy", "restart.policy", message, "write no, always or on-failure")
    if restart.max_retries is not None and restart.policy in {"no", "always"}:
        message = f"retries are not counted for {restart.policy!r}"
        yield warning("restart-retries", "restart.max_retries", message, "they count for on-failure only")


def _warn_of_stop(stop: StopConfig | None) -> Iterator[Finding]:
    if stop is not None and stop.timeout is not None and stop.timeout > _LONGEST_STOP:
        message = f"{stop.timeout} is longer than the platform waits: 5m0s"
        yield warning("stop-timeout", "stop_config.timeout", message, "take 300 seconds or less")


def _warn_of_schedule(config: MachineConfig, *, skip_launch: bool | None) -> Iterator[Finding]:
    if (config.schedule or "") not in _SCHEDULES:
        message = f"{shown(config.schedule)} is no known schedule"
        yield warning("schedule", "schedule", message, "write hourly, daily, weekly or monthly")
    if config.schedule and skip_launch:
        message = "a machine created or updated with skip_launch is never started by its schedule"
        yield warning("schedule-skip-launch", "schedule", message, "launch it once")


def _warn_of_suspend(config: MachineConfig) -> Iterator[Finding]:
    if not any(service.autostop == "suspend" for service in config.services or ()):
        return
    memory_mb = _memory_mb(config)
    if memory_mb > _MOST_MB_TO_SUSPEND:
        message = f"{memory_mb} MB is too much to suspend: {_MOST_MB_TO_SUSPEND} at most"
        yield warning("suspend-memory", "guest.memory_mb", message, 'take less, or autostop "stop"')
    if config.init is not None and config.init.swap_size_mb:
        message = "a machine with swap can not be suspended"
        yield warning("suspend-swap", "init.swap_size_mb", message, 'drop the swap, or take autostop "stop"')
    if config.schedule:
        message = "a machine with a schedule can not be suspended"
        yield warning("suspend-schedule", "schedule", message, 'drop the schedule, or take autostop "stop"')


def _memory_mb(config: MachineConfig) -> int:
    if config.guest is not None:
        return config.guest.memory_mb or 0
    preset = PRESETS.get(config.size or "")
    return preset.memory_mb if preset else 0


def _warn_of_worker(config: MachineConfig) -> Iterator[Finding]:
    found = next(filter(None, map(_WORKERS.search, _callings(config))), None)
    for number, service in enumerate(config.services or ()):
        if found is not None and service.autostop in _STOPS:
            message = (
                f"{found.group(2)!r} sounds like background work, and without connections the proxy stops it midway"
            )
            advice = 'set autostop to "off", or let it run in a process group without services'
            yield warning("worker-autostop", f"services[{number}].autostop", message, advice)


def _callings(config: MachineConfig) -> Iterator[str]:
    """Give what tells a machine's work: its process group and the programs that it runs, without their options."""
    yield str((config.metadata or {}).get("fly_process_group") or "")
    init = config.init
    for command in (init.exec, init.entrypoint, init.cmd) if init is not None else ():
        for one in _separated([word for text in command or () for word in text.split()]):
            yield from _program(one)


def _separated(words: list[str]) -> Iterator[list[str]]:
    """Give the commands that a shell would tell apart."""
    for separates, command in groupby(words, lambda word: word in _SEPARATORS):
        if not separates:
            yield list(command)


def _program(command: list[str]) -> Iterator[str]:
    """Give the program of a command, or the script or program that it only starts; none for mere options."""
    if command[0].startswith("-"):
        return
    names = (word.strip("\"'").rpartition("/")[2] for word in command)
    yield from islice((name for name in names if not _LAUNCHERS.fullmatch(name)), 1)


def _warn_of_secrets(config: MachineConfig) -> Iterator[Finding]:
    yield from _secrets_in("env", config.env)
    for number, process in enumerate(config.processes or ()):
        yield from _secrets_in(f"processes[{number}].env", process.env)
    for number, container in enumerate(config.containers or ()):
        yield from _secrets_in(f"containers[{number}].env", container.env)


def _secrets_in(path: str, env: Mapping[str, Any] | None) -> Iterator[Finding]:
    for name, value in (env or {}).items():
        if isinstance(value, str) and ((value and names_a_secret(name)) or holds_a_password(value)):
            message = "looks like a secret, and everybody who can read the machine can read its env"
            yield warning("env-secret", f"{path}.{name}", message, "keep it in the app's secrets: fly.secrets")


def _warn_of_unknown(config: MachineConfig) -> Iterator[Finding]:
    for place in unknown_in(config):
        message = "no such key is known here, so nothing is known of what it does; it is sent as it is"
        yield warning("unknown-key", place.removeprefix("."), message, "is it spelled right?")
