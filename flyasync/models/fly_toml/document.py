"""Read a parsed fly.toml or fly.json; pure."""

import json
from collections.abc import Callable, Iterable, Mapping
from typing import Any, Final, TypeVar

from attrs import evolve

from flyasync.errors import InvalidInput
from flyasync.models.config import Init, MachineConfig, Metrics
from flyasync.models.container import StopConfig
from flyasync.models.fly_toml.app_config import FlyToml
from flyasync.models.fly_toml.build import client_flags, image_of_build
from flyasync.models.fly_toml.deploy import DeploySection, command, deploy
from flyasync.models.fly_toml.files import ReadFile, container, file, static
from flyasync.models.fly_toml.groups import APP, Scoped, commands, groups_of, groups_of_service, name_of, own_and_common
from flyasync.models.fly_toml.mounts import mount
from flyasync.models.fly_toml.section import Section, text_of
from flyasync.models.fly_toml.services import http_service, machine_check, metrics, service, top_check
from flyasync.models.fly_toml.vm import guest, restart
from flyasync.models.json.codec import Mismatch, structure

T = TypeVar("T")

# Fields of machine_config that fly.toml always replaces, even by nothing.
_REPLACED: Final = ("env", "services", "checks", "mounts", "files", "statics", "metrics", "restart", "stop_config")


def read_document(document: Mapping[str, Any], read_file: ReadFile, *, source: str = "fly.toml") -> FlyToml:
    """Read a parsed fly.toml or fly.json, named `source`. Problems are returned as findings, never raised."""
    top = Section("", document, [])
    command(top, "console_command", top.text("console_command"))
    for check in top.listed("machine_checks"):
        machine_check(check)
    lines = commands(top)
    groups = tuple(lines) or (APP,)

    def scoped(
        sections: Iterable[Section], read: Callable[[Section], T | None], *, must_exist: bool = False
    ) -> tuple[Scoped[T], ...]:
        values = ((groups_of(section, groups, must_exist=must_exist), read(section)) for section in sections)
        return tuple((named, value) for named, value in values if value is not None)

    def served(sections: Iterable[Section], read: Callable[[Section], T]) -> tuple[Scoped[T], ...]:
        return tuple((groups_of_service(section, groups, defined=bool(lines)), read(section)) for section in sections)

    def tables(*keys: str) -> list[Section]:
        return [section for key in keys for section in top.tables(key)]

    own = top.table("experimental") or Section("experimental", {}, top.found)
    host = top.text("host_dedication_id")
    deploying = top.table("deploy")
    web = top.table("http_service")
    # In the order of the fields, which determines the order of the findings.
    read = FlyToml(
        source=source,
        app=top.text("app") or None,
        primary_region=top.text("primary_region") or None,
        groups=groups,
        deploy=deploy(deploying, host) if deploying else DeploySection(),
        findings=(),
        image=image_of_build(top),
        commands=lines,
        init=_init(top, own),
        env=_env(top),
        web=served([web] if web else [], http_service),
        services=served((section for section in tables("services") if not section.is_empty), service),
        checks={name: (groups_of(section, groups), top_check(section)) for name, section in _named_checks(top)},
        mounts=scoped(tables("mount", "mounts"), mount),
        files=scoped(top.listed("files"), lambda section: file(section, read_file)),
        statics=tuple(map(static, top.listed("statics"))),
        metrics=scoped(tables("metric", "metrics"), metrics) or _old_metrics(own),
        guests=scoped(tables("compute", "computes", "vm"), lambda section: guest(section, host)),
        restarts=scoped(top.listed("restart"), restart, must_exist=True),
        stop_config=_stop_config(top, own),
        base=_base(top, own, read_file),
        container=top.text("container"),
    )
    client_flags(own)
    # These keys of [experimental] are ignored if the top level has them.
    own.ignore("kill_timeout", "metrics_port", "metrics_path")
    own.finish()
    meant = top.finish()
    _check(top, read)
    return evolve(read, findings=tuple(top.found), meant=meant)


def _init(top: Section, own: Section) -> Init:
    """Read what starts in a machine, of which most is in `[experimental]`."""
    return Init(
        cmd=own.words("cmd"),
        entrypoint=own.words("entrypoint"),
        exec=own.words("exec"),
        swap_size_mb=top.integer("swap_size_mb"),
    )


def _check(top: Section, read: FlyToml) -> None:
    """Report problems that involve several sections."""
    for name, (named, check) in read.checks.items():
        lacking = [group for group in read.groups if read.is_for(group, named) and read.port_of(group) is None]
        if check.port is None and lacking:
            top.wrong(f"checks.{name}.port", "is missing, and there is no http_service with a port to use instead")
    if read.deploy.strategy == "canary" and read.mounts:
        problem = "is canary, which cannot be used with mounts: use rolling"
        top.wrong("deploy.strategy", problem)
    names = [each.name for each in read.base.containers or ()]
    chosen = read.app_container
    for number, each in enumerate(read.base.containers or ()):
        if number != chosen and not each.image:
            top.wrong("machine_config", f"has a container {each.name!r} without an image")
    if read.container and read.base.containers and read.container not in names:
        top.wrong("container", f"is {read.container!r}, which is not a container of machine_config")
    for group in read.groups:
        own, _ = own_and_common(group, read.guests)
        if len(own) > 1:
            top.warn("vm-twice", "vm", f"{len(own)} sections name the group {group}; the last one is used", "keep one")
    if (count := sum(not named for named, _ in read.guests)) > 1:
        top.warn("vm-twice", "vm", f"{count} sections name no process group; the first one is used", "keep one")
    for name in _REPLACED:
        if getattr(read.base, name):
            message = f"its {name} has no effect: fly.toml replaces it, as in flyctl"
            top.warn("machine-config-replaced", "machine_config", message, "write it as a section of this file")
    if len(read.groups) > 1 and any(not named for named, _ in read.restarts):
        message = (
            "a section without processes applies to all groups, as documented; flyctl applies it to the default one"
        )
        top.warn("restart-of-all", "restart", message, "name the processes")


def _env(top: Section) -> dict[str, str]:
    env = {name: text_of(value) for section in top.tables("env") for name, value in section.rest().items()}
    for name, value in env.items():
        if value is None:
            top.wrong(f"env.{name}", "must be a string")
    return {name: value for name, value in env.items() if value is not None}


def _stop_config(top: Section, own: Section) -> StopConfig | None:
    signal, timeout = top.text("kill_signal"), top.duration("kill_timeout", unit=1, may_be_empty=True)
    if timeout is None:
        timeout = own.duration("kill_timeout", unit=1, may_be_empty=True)
    return None if signal is None and timeout is None else StopConfig(signal=signal, timeout=timeout)


def _old_metrics(own: Section) -> tuple[Scoped[Metrics], ...]:
    """Read the older spelling of [metrics], for files that have no such section."""
    metrics = Metrics(port=own.integer("metrics_port"), path=own.text("metrics_path"))
    return () if metrics == Metrics() else (((), metrics),)


def _named_checks(top: Section) -> list[tuple[str, Section]]:
    """Return the checks with their names; in a list, each check has a key `name`."""
    value = top.take("checks")
    if value is None:
        return []
    if isinstance(value, Mapping):
        return Section("checks", value, top.found).named()
    sections = Section("", {"checks": value}, top.found).tables("checks")
    return [(name_of(section), section) for section in sections]


def _base(top: Section, own: Section, read_file: ReadFile) -> MachineConfig:
    """Return the machine config that fly.toml builds on: inline JSON, or a JSON file."""
    above, nested = top.text("machine_config"), own.text("machine_config")
    named = nested or above or ""
    if not named:
        return MachineConfig()
    is_json = named.startswith("{")
    if not is_json and len(named.splitlines()) > 1:
        problem = "is neither JSON nor the path of a file: YAML is not supported, so write it as JSON"
        top.wrong("machine_config", problem)
        return MachineConfig()
    try:
        content = named.encode() if is_json else read_file(named)
        base = structure(json.loads(content), MachineConfig)
    except InvalidInput as error:
        top.wrong("machine_config", f"names a file, but {error}")
    except (Mismatch, ValueError) as error:
        top.wrong("machine_config", f"must be JSON that describes a machine: {error}")
    except RecursionError:
        top.wrong("machine_config", "must be JSON that describes a machine: it is nested too deeply")
    else:
        containers = [container(top, each, read_file) for each in base.containers or ()]
        return evolve(base, containers=containers or None)
    return MachineConfig()
