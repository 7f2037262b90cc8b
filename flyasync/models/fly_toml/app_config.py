"""Convert a fly.toml to the machine configs that flyctl would send for it (docs: reference/configuration)."""

import json
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from typing import Any, Final, TypeVar

from attrs import evolve, frozen

from flyasync.errors import InvalidInput
from flyasync.models.config import Init, MachineConfig, Metrics, Static
from flyasync.models.container import Container, File, Restart, StopConfig
from flyasync.models.fly_toml.deploy import DeploySection, command, deploy
from flyasync.models.fly_toml.files import ReadFile, container, file, static
from flyasync.models.fly_toml.mounts import MountSection, mount
from flyasync.models.fly_toml.section import UNKNOWN_KEY, Section, text_of
from flyasync.models.fly_toml.services import http_service, metrics, service, top_check
from flyasync.models.fly_toml.vm import guest, restart
from flyasync.models.guest import Guest
from flyasync.models.json.codec import Mismatch, structure
from flyasync.models.lint.finding import Finding
from flyasync.models.service import Check, Service

T = TypeVar("T")
Scoped = tuple[tuple[str, ...], T]
"""The value of a section, with the process groups that it names before it; empty if it names none."""

_APP: Final = "app"
# Keys for flyctl and the app, which are not part of a machine's config.
_NOT_OF_MACHINES: Final = ("console_command", "machine_checks")
_OF_BUILDING: Final = (
    *("builder", "args", "buildpacks", "settings", "builtin", "dockerfile", "ignorefile", "build-target"),
    *("build_target", "compression", "compression_level"),
)
# Fields of machine_config that fly.toml always replaces, even by nothing.
_REPLACED: Final = ("env", "services", "checks", "mounts", "files", "statics", "metrics", "restart", "stop_config")
_OF_DEPLOYING: Final = ("auto_rollback", "enable_consul", "enable_etcd", "lazy_load_images", "use_zstd", "attached")


@frozen(kw_only=True, repr=False)
class FlyToml:
    """A fly.toml that has been read completely: its app settings, and the config of each process group.

    `findings` are the invalid values (`certain`) and the warnings, about unknown keys and ambiguous values. A config
    that is made in spite of them lacks these values.
    """

    app: str | None
    primary_region: str | None
    groups: tuple[str, ...]
    deploy: DeploySection
    findings: tuple[Finding, ...]
    image: str | None
    commands: Mapping[str, tuple[str, ...]]
    init: Init
    env: Mapping[str, str]
    web: tuple[Scoped[Service], ...]
    services: tuple[Scoped[Service], ...]
    checks: Mapping[str, Scoped[Check]]
    mounts: tuple[Scoped[MountSection], ...]
    files: tuple[Scoped[File], ...]
    statics: tuple[Static, ...]
    metrics: tuple[Scoped[Metrics], ...]
    guests: tuple[Scoped[Guest], ...]
    restarts: tuple[Scoped[Restart], ...]
    stop_config: StopConfig | None
    base: MachineConfig
    container: str | None

    def refuse(self, *, strict: bool) -> None:
        """Raise InvalidInput with all invalid values and, if `strict`, all unknown keys; do nothing without any."""
        wrong = [f"{found.path} {found.message}" for found in self.findings if found.certain]
        unknown = [f"{found.path}: {found.message}" for found in self.findings if found.code == UNKNOWN_KEY]
        if strict and unknown:
            wrong += unknown
            advice = ". Correct or remove these keys, or pass strict=False to ignore them as flyctl does"
        else:
            advice = ""
        if wrong:
            raise InvalidInput(f"fly.toml: {'; '.join(wrong)}{advice}")

    def config(self, group: str | None = None, *, image: str | None = None) -> MachineConfig:
        """Return the config of a process group, which may be omitted if there is only one.

        `image` replaces `build.image`. Raises InvalidInput for an unknown group, and if there is no image.
        """
        if group is None and len(self.groups) == 1:
            (group,) = self.groups
        if group is None or group not in self.groups:
            wrong = "has several process groups" if group is None else f"has no process group {group!r}"
            raise InvalidInput(f"fly.toml {wrong}: choose one of {', '.join(self.groups)}")
        image = image or self.image
        if not image:
            raise InvalidInput(
                "fly.toml names no image, and flyasync does not build one: build and push it, then pass "
                'image="registry.fly.io/…"'
            )
        region = {"PRIMARY_REGION": self.primary_region} if self.primary_region else {}
        base = self.base
        # flyctl uses the last [[vm]] that names the group, else the first one that names none; for [[restart]] always
        # the last one.
        own_guests, common_guests = _own_and_common(group, self.guests)
        guest = own_guests[-1] if own_guests else next(iter(common_guests), base.guest)
        own_restarts, common_restarts = _own_and_common(group, self.restarts)
        measured = self._of(group, self.metrics)
        checks = {}
        for name, (named, check) in self.checks.items():
            if self.is_for(group, named):
                checks[name] = check if check.port is not None else evolve(check, port=self.port_of(group))
        # Unlike other sections, files that name no group are for all groups.
        files = tuple(file for named, file in self.files if not named or group in named)
        return evolve(
            base,
            image=image,
            init=self._init(group),
            env={**self.env, "FLY_PROCESS_GROUP": group, **region},
            services=(*self._of(group, self.web), *self._of(group, self.services)) or None,
            checks=checks or None,
            mounts=tuple(each.mount for each in self.mounts_of(group)) or None,
            files=files or None,
            statics=self.statics or None,
            stop_config=self.stop_config,
            restart=next(reversed(own_restarts or common_restarts), None),
            metrics=measured[0] if measured else None,
            guest=guest,
            metadata={**(base.metadata or {}), "fly_platform_version": "v2", "fly_process_group": group},
            containers=self._containers(image),
        )

    def mounts_of(self, group: str) -> tuple[MountSection, ...]:
        """Return the mounts of a process group, and the options for creating their volumes."""
        return self._of(group, self.mounts)

    def port_of(self, group: str) -> int | None:
        """Return the port for a check without one: the internal port of the process group's http_service."""
        return next((each.internal_port for each in self._of(group, self.web)), None)

    def is_for(self, group: str, named: tuple[str, ...]) -> bool:
        """Whether a section is for a process group; one that names none is for the default group."""
        return group in named if named else group == (_APP if _APP in self.groups else min(self.groups))

    def _of(self, group: str, sections: Iterable[Scoped[T]]) -> tuple[T, ...]:
        return tuple(value for named, value in sections if self.is_for(group, named))

    def _init(self, group: str) -> Init | None:
        init = evolve(self.init, cmd=self.commands.get(group) or self.init.cmd)
        if self.base.init is None:
            return None if init == Init() else init
        return evolve(
            self.base.init, exec=init.exec, entrypoint=init.entrypoint, cmd=init.cmd, swap_size_mb=init.swap_size_mb
        )

    def _containers(self, image: str) -> tuple[Container, ...] | None:
        """Return the containers. The app's container gets `image`: the named one, else `app`, else the first."""
        names = [container.name for container in self.base.containers or ()]
        chosen = names.index(self.container or _APP) if (self.container or _APP) in names else 0
        numbered = enumerate(self.base.containers or ())
        return tuple(evolve(each, image=image) if number == chosen else each for number, each in numbered) or None


def _own_and_common(group: str, sections: Iterable[Scoped[T]]) -> tuple[list[T], list[T]]:
    """Return the values of the sections that name a process group, and of those that name none."""
    every = list(sections)
    return [value for named, value in every if group in named], [value for named, value in every if not named]


# Reading


def read_document(document: Mapping[str, Any], read_file: ReadFile) -> FlyToml:
    """Read a parsed fly.toml. Problems are returned as findings, never raised."""
    top = Section("", document, [])
    top.ignore(*_NOT_OF_MACHINES)
    commands = _commands(top)
    groups = tuple(commands) or (_APP,)

    def scoped(sections: Iterable[Section], read: Callable[[Section], T | None]) -> tuple[Scoped[T], ...]:
        values = ((_groups_of(section, groups), read(section)) for section in sections)
        return tuple((named, value) for named, value in values if value is not None)

    def tables(*keys: str) -> list[Section]:
        return [section for key in keys for section in top.tables(key)]

    own = top.table("experimental") or Section("experimental", {}, top.found)
    host = top.text("host_dedication_id")
    deploying = top.table("deploy")
    # In the order of the fields, which determines the order of the findings.
    read = FlyToml(
        app=top.text("app"),
        primary_region=top.text("primary_region"),
        groups=groups,
        deploy=deploy(deploying) if deploying else DeploySection(),
        findings=(),
        image=_image(top),
        commands=commands,
        init=Init(
            cmd=own.words("cmd"),
            entrypoint=own.words("entrypoint"),
            exec=own.words("exec"),
            swap_size_mb=top.integer("swap_size_mb"),
        ),
        env=_env(top),
        web=scoped(tables("http_service"), http_service),
        services=scoped((section for section in tables("services") if not section.is_empty), service),
        checks={name: (_groups_of(section, groups), top_check(section)) for name, section in _named_checks(top)},
        mounts=scoped(tables("mount", "mounts"), mount),
        files=scoped(tables("files"), lambda section: file(section, read_file)),
        statics=tuple(map(static, tables("statics"))),
        metrics=scoped(tables("metric", "metrics"), metrics) or _old_metrics(own),
        guests=scoped(tables("compute", "computes", "vm"), lambda section: guest(section, host)),
        restarts=scoped(tables("restart"), restart),
        stop_config=_stop_config(top, own),
        base=_base(top, own, read_file),
        container=top.text("container"),
    )
    # These keys of [experimental] are ignored if the top level has them.
    own.ignore(*_OF_DEPLOYING, "kill_timeout", "metrics_port", "metrics_path", "machine_config")
    own.finish()
    top.finish()
    _check(top, read)
    return evolve(read, findings=tuple(top.found))


def _check(top: Section, read: FlyToml) -> None:
    """Report problems that involve several sections."""
    for name, (named, check) in read.checks.items():
        lacking = [group for group in read.groups if read.is_for(group, named) and read.port_of(group) is None]
        if check.port is None and lacking:
            top.wrong(f"checks.{name}.port", "is missing, and there is no http_service with a port to use instead")
    names = [each.name for each in read.base.containers or ()]
    if read.container and read.base.containers and read.container not in names:
        top.wrong("container", f"is {read.container!r}, which is not a container of machine_config")
    for group in read.groups:
        own, _ = _own_and_common(group, read.guests)
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


def _groups_of(section: Section, groups: tuple[str, ...]) -> tuple[str, ...]:
    """Return the groups that a section names, and report those that do not exist."""
    named = section.texts("processes") or ()
    for group in named:
        if group not in groups:
            section.wrong(
                "processes", f"names {group!r}, which is not a process group: choose one of {', '.join(groups)}"
            )
    return named


def _commands(top: Section) -> dict[str, tuple[str, ...]]:
    """Return the commands by process group, from a table or from the old list of tables with `name` and `command`."""
    value = top.take("processes") or {}
    if isinstance(value, Mapping):
        lines = dict(value)
    else:
        named = []
        for each in Section("", {"processes": value}, top.found).tables("processes"):
            if each.is_empty:
                continue
            name, line = _named(each), each.text("command")
            each.finish()
            if name:
                named.append((name, line or ""))
        lines = dict(named)
        for name, count in Counter(name for name, _ in named).items():
            if count > 1:
                top.warn(
                    "process-twice", "processes", f"{count} have the name {name!r}; the last one is used", "keep one"
                )
    if not all(isinstance(line, str) for line in lines.values()):
        top.wrong("processes", "must be a table of commands")
    return {str(name): command(top, "processes", line if isinstance(line, str) else "") for name, line in lines.items()}


def _image(top: Section) -> str | None:
    build = top.table("build") or Section("build", {}, top.found)
    found = build.text("image")
    if build.take("compose"):
        build.wrong("compose", "is not supported: write the containers as JSON, and name the file in machine_config")
    build.ignore(*_OF_BUILDING)
    build.finish()
    return found or None


def _env(top: Section) -> dict[str, str]:
    env = {name: text_of(value) for section in top.tables("env") for name, value in section.rest().items()}
    for name, value in env.items():
        if value is None:
            top.wrong(f"env.{name}", "must be a string")
    return {name: value for name, value in env.items() if value is not None}


def _stop_config(top: Section, own: Section) -> StopConfig | None:
    signal, timeout = top.text("kill_signal"), top.duration("kill_timeout", unit=1)
    if timeout is None:
        timeout = own.duration("kill_timeout", unit=1)
    return None if signal is None and timeout is None else StopConfig(signal=signal, timeout=timeout)


def _old_metrics(own: Section) -> tuple[Scoped[Metrics], ...]:
    """Read the older spelling of [metrics], for files that have no such section."""
    metrics = Metrics(port=own.integer("metrics_port"), path=own.text("metrics_path"))
    return () if metrics == Metrics() else (((), metrics),)


def _named_checks(top: Section) -> list[tuple[str, Section]]:
    """Return the checks with their names; in a list, each check has a key `name`."""
    value = top.take("checks") or {}
    if isinstance(value, Mapping):
        return Section("checks", value, top.found).named()
    sections = Section("", {"checks": value}, top.found).tables("checks")
    return [(_named(section), section) for section in sections]


def _named(section: Section) -> str:
    name = section.text("name")
    if not name:
        section.wrong("name", "is missing")
    return name or ""


def _base(top: Section, own: Section, read_file: ReadFile) -> MachineConfig:
    """Return the machine config that fly.toml builds on: inline JSON, or a JSON file."""
    named = (top.text("machine_config") or own.text("machine_config") or "").strip()
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
