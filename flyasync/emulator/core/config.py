"""Machine configs: how the API validates them, and the form in which it returns them."""

from typing import Any

from flyasync.emulator.core import files, guest
from flyasync.emulator.core.errors import bad_request, failed_precondition
from flyasync.emulator.core.go_json import Json, check, mismatch

# Go's type names, which appear in error messages; keys that are not listed are not checked.
_STRUCT = "MachineConfig"
_CONFIG = {
    "image": "string", "env": "map[string]string", "metadata": "map[string]string", "init": "MachineInit",
    "guest": "MachineGuest", "size": "string", "mounts": "[]MachineMount", "services": "[]MachineService",
    "checks": "map[string]MachineCheck", "metrics": "MachineMetrics", "statics": "[]Static", "files": "[]File",
    "schedule": "string", "auto_destroy": "bool", "restart": "MachineRestart", "dns": "DNSConfig",
    "processes": "[]MachineProcess", "standbys": "[]string", "stop_config": "StopConfig", "containers": "[]Container",
}  # fmt: skip
_INIT = {"exec": "[]string", "entrypoint": "[]string", "cmd": "[]string", "tty": "bool", "swap_size_mb": "int"}
_FILE = {"guest_path": "string", "raw_value": "string", "secret_name": "string", "mode": "int"}
_GUEST = {
    "cpu_kind": "string", "cpus": "int", "memory_mb": "int", "max_memory_mb": "int", "gpu_kind": "string",
    "gpus": "int", "required_host_features": "[]string",
}  # fmt: skip
_MOUNT = {
    "volume": "string", "path": "string", "name": "string", "size_gb": "int", "extend_threshold_percent": "int",
    "add_size_gb": "int", "add_size_percent": "int", "min_add_size_gb": "int", "size_gb_limit": "int",
}  # fmt: skip
_SERVICE = {
    "protocol": "string", "internal_port": "int", "ports": "[]MachinePort", "autostart": "bool",
    "min_machines_running": "int", "concurrency": "MachineServiceConcurrency", "checks": "[]MachineServiceCheck",
}  # fmt: skip
_CHECK = {
    "type": "string", "port": "int", "method": "string", "path": "string", "headers": "[]MachineHTTPHeader",
    "interval": "Duration", "timeout": "Duration", "grace_period": "Duration",
}  # fmt: skip
_RESTART = {"policy": "string", "max_retries": "int"}
_OBJECTS = (("guest", _GUEST, "MachineGuest"), ("init", _INIT, "MachineInit"), ("restart", _RESTART, "MachineRestart"))
_LISTS = (("files", _FILE, "File"), ("mounts", _MOUNT, "MachineMount"), ("services", _SERVICE, "MachineService"))
# Strings and booleans are accepted; responses have booleans for off and stop.
_AUTOSTOP = {"off": False, "stop": True, "suspend": "suspend", False: False, True: True}
_POLICIES = ("", "no", "always", "on-failure", "spot-price")
_SCHEDULES = ("", "hourly", "daily", "weekly", "monthly")
_MOST_MB_TO_SUSPEND = 2048


def accepted(config: Any) -> Json:
    """Return a config as the API returns it; raise the API's error if it is invalid."""
    if not isinstance(config, dict):
        raise bad_request("config is required" if config is None else mismatch(config, "config", _STRUCT))

    # Types first, so that the rules below can rely on them.
    check(config, _CONFIG, _STRUCT, "config.")
    for key, types, struct in _OBJECTS:
        check(config.get(key) or {}, types, struct, f"config.{key}.")
    for key, types, struct in _LISTS:
        for item in config.get(key) or ():
            check(item, types, struct, f"config.{key}.")
    for service in config.get("services") or ():
        for item in service.get("checks") or ():
            check(item, _CHECK, "MachineServiceCheck", "config.services.checks.")
    for item in (config.get("checks") or {}).values():
        check(item or {}, _CHECK, "MachineCheck", "config.checks.")

    if not config.get("image") and not config.get("containers"):
        raise bad_request("config.image is required")
    _demand_mountable(config.get("mounts") or [])
    files.demand_readable(config)
    # A standby replaces another machine that fails; the proxy routes no requests to it.
    if config.get("standbys") and config.get("services"):
        raise bad_request("config.standbys can not be used by a machine with services")
    if ((config.get("restart") or {}).get("policy") or "") not in _POLICIES:
        raise bad_request(f"invalid config.restart.policy: {config['restart']['policy']!r}")
    if (config.get("schedule") or "") not in _SCHEDULES:
        raise bad_request(f"invalid config.schedule: {config['schedule']!r}")

    services = []
    for service in config.get("services") or ():
        autostop = service.get("autostop")
        if autostop is not None and (not isinstance(autostop, bool | str) or autostop not in _AUTOSTOP):
            raise bad_request(f"invalid config.services.autostop: {autostop!r}")
        services.append(service if autostop is None else service | {"autostop": _AUTOSTOP[autostop]})
    # A size is returned as its guest: a config with both would be refused when it is sent back.
    kept = {key: value for key, value in config.items() if key != "size"}
    found = kept | {"init": config.get("init") or {}, "guest": guest.filled(config)}
    return found | {"services": services} if services else found


def demand_suspendable(config: Json) -> None:
    """Raise 412 for the config of a machine that the platform cannot suspend."""
    if config["guest"]["memory_mb"] > _MOST_MB_TO_SUSPEND:
        raise failed_precondition(f"unable to suspend machine with more than {_MOST_MB_TO_SUSPEND} MB of memory")
    if config["init"].get("swap_size_mb"):
        raise failed_precondition("unable to suspend machine with swap")
    if config.get("schedule"):
        raise failed_precondition("unable to suspend scheduled machine")


def _demand_mountable(mounts: list[Json]) -> None:
    # The documented limit is one volume per machine. Both keys are required; fly.toml uses other names for them.
    if len(mounts) > 1:
        raise bad_request("config.mounts: a machine can have at most one mount")
    for mount in mounts:
        for key in ("volume", "path"):
            if not mount.get(key):
                raise bad_request(f"config.mounts: {key} is required")
        if mount.get("add_size_gb") and mount.get("add_size_percent"):
            raise bad_request("config.mounts: add_size_gb and add_size_percent are mutually exclusive")
