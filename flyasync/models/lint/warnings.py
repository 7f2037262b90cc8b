"""Rules for what the API accepts but is unwise; they yield warnings. No warning contains a secret."""

from collections.abc import Iterator, Mapping
from typing import Any, Final

from flyasync.models.config import MachineConfig, Mount
from flyasync.models.guest import PRESETS
from flyasync.models.lint.background_work import warn_of_worker
from flyasync.models.lint.finding import Finding, warning
from flyasync.models.lint.guest import warn_of_guest
from flyasync.models.lint.services import warn_of_checks, warn_of_services
from flyasync.models.model import unknown_in
from flyasync.models.redaction import holds_a_password, names_a_secret, shown

# The limits are from Fly's docs: machines/api/machines-resource, and reference/suspend-resume for suspending.
_MOST_MB_TO_SUSPEND: Final = 2048
_LONGEST_STOP: Final = 300.0  # seconds
_LEAST_PERCENT, _MOST_PERCENT = 50, 99
_MOST_ADD_GB: Final = 100
_MOST_GB: Final = 500
_POLICIES: Final = ("", "no", "always", "on-failure", "spot-price")
_SCHEDULES: Final = ("", "hourly", "daily", "weekly", "monthly")


def warn(config: MachineConfig, *, skip_launch: bool | None = None) -> Iterator[Finding]:
    """Yield warnings about a config; `skip_launch` is the option with which a machine will be created, if known."""
    yield from warn_of_services(config.services or ())
    yield from warn_of_checks(config.checks or {})
    for number, mount in enumerate(config.mounts or ()):
        yield from _warn_of_mount(f"mounts[{number}]", mount)
    if config.guest is not None:
        yield from warn_of_guest(config.guest)
    policy, retries = (config.restart.policy, config.restart.max_retries) if config.restart else (None, None)
    if (policy or "") not in _POLICIES:
        yield warning(
            "restart-policy", "restart.policy", f"{shown(policy)} is not a known policy", "use no, always or on-failure"
        )
    if retries is not None and policy in {"no", "always"}:
        message = f"max_retries has no effect with the policy {policy!r}"
        yield warning("restart-retries", "restart.max_retries", message, "use the policy on-failure, or remove it")
    stop = config.stop_config
    if stop is not None and stop.timeout is not None and stop.timeout > _LONGEST_STOP:
        message = f"{stop.timeout} is too long: the platform waits for at most 5m0s"
        yield warning("stop-timeout", "stop_config.timeout", message, "use 300 seconds or less")
    if (config.schedule or "") not in _SCHEDULES:
        message = f"{shown(config.schedule)} is not a known schedule"
        yield warning("schedule", "schedule", message, "use hourly, daily, weekly or monthly")
    if config.schedule and skip_launch:
        message = "a machine created or updated with skip_launch is never started by its schedule"
        yield warning("schedule-skip-launch", "schedule", message, "launch it once")
    if any(service.autostop == "suspend" for service in config.services or ()):
        yield from _warn_of_suspend(config)
    yield from warn_of_worker(config)
    yield from _secrets_in("env", config.env)
    for number, process in enumerate(config.processes or ()):
        yield from _secrets_in(f"processes[{number}].env", process.env)
    for number, container in enumerate(config.containers or ()):
        yield from _secrets_in(f"containers[{number}].env", container.env)
    # Unknown keys are kept everywhere, since the API may be newer than the models. So typos are reported here.
    for unknown in unknown_in(config):
        message = "this key is unknown to flyasync and is sent unchanged"
        advice = f"did you mean {unknown.similar!r}?" if unknown.similar else "check the spelling"
        yield warning("unknown-key", unknown.path.removeprefix("."), message, advice)


def _warn_of_mount(path: str, mount: Mount) -> Iterator[Finding]:
    threshold, step, limit = mount.extend_threshold_percent, mount.add_size_gb, mount.size_gb_limit
    if threshold and not _LEAST_PERCENT <= threshold <= _MOST_PERCENT:
        message = f"{threshold} percent is outside {_LEAST_PERCENT} to {_MOST_PERCENT}"
        yield warning("mount-threshold", f"{path}.extend_threshold_percent", message, "use a value within the limits")
    # The threshold alone has no effect.
    if threshold and not (step or mount.add_size_percent):
        message = "extend_threshold_percent has no effect without add_size_gb or add_size_percent"
        yield warning("mount-step", f"{path}.add_size_gb", message, "set it to 1 to 100 GB")
    if mount.min_add_size_gb and not mount.add_size_percent:
        message = "min_add_size_gb has no effect without add_size_percent"
        yield warning("mount-step", f"{path}.min_add_size_gb", message, "set add_size_percent, or remove it")
    if step is not None and not 0 <= step <= _MOST_ADD_GB:
        message = f"{step} GB is outside 1 to {_MOST_ADD_GB}"
        yield warning("mount-step", f"{path}.add_size_gb", message, "use a value within the limits")
    if limit is not None and not 0 <= limit <= _MOST_GB:
        message = f"{limit} GB is outside 0 to {_MOST_GB}, the maximum size of a volume"
        yield warning("mount-limit", f"{path}.size_gb_limit", message, f"use {_MOST_GB} or less; 0 means no limit")


def _warn_of_suspend(config: MachineConfig) -> Iterator[Finding]:
    if config.guest is not None:
        memory_mb = config.guest.memory_mb or 0
    else:
        preset = PRESETS.get(config.size or "")
        memory_mb = preset.memory_mb if preset else 0
    if memory_mb > _MOST_MB_TO_SUSPEND:
        message = f"a machine with {memory_mb} MB cannot be suspended: the maximum is {_MOST_MB_TO_SUSPEND} MB"
        yield warning("suspend-memory", "guest.memory_mb", message, 'use less memory, or set autostop to "stop"')
    if config.init is not None and config.init.swap_size_mb:
        message = "a machine with swap cannot be suspended"
        yield warning("suspend-swap", "init.swap_size_mb", message, 'remove the swap, or set autostop to "stop"')
    if config.schedule:
        message = "a machine with a schedule cannot be suspended"
        yield warning("suspend-schedule", "schedule", message, 'remove the schedule, or set autostop to "stop"')


def _secrets_in(path: str, env: Mapping[str, Any] | None) -> Iterator[Finding]:
    for name, value in (env or {}).items():
        if isinstance(value, str) and ((value and names_a_secret(name)) or holds_a_password(value)):
            message = "looks like a secret, but anyone with access to the machine can read its env"
            yield warning("env-secret", f"{path}.{name}", message, "store it in the app's secrets")
