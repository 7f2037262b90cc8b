"""From a fly.toml to the machine config that flyctl would send for it (docs: reference/configuration)."""

import json
import shlex
from collections.abc import Callable, Iterable, Mapping
from datetime import date, time
from functools import partial
from typing import Any, Final

from attrs import evolve

from flyasync.errors import InvalidInput
from flyasync.models.config import Init, MachineConfig
from flyasync.models.container import Container, StopConfig
from flyasync.models.convert import Mismatch, structure
from flyasync.models.service import Check
from flyasync.models.toml_equipment import ReadFile, file, guest, metrics, mount, restart, static
from flyasync.models.toml_section import Section
from flyasync.models.toml_services import http_service, service, top_check

_APP: Final = "app"
# What flyctl and the app use, and no machine sees.
_NOT_OF_MACHINES: Final = ("app", "deploy", "console_command", "machine_checks")
_OF_BUILDING: Final = (
    *("builder", "args", "buildpacks", "settings", "builtin", "dockerfile", "ignorefile", "build-target"),
    *("compression", "compression_level"),
)
_OF_DEPLOYING: Final = ("auto_rollback", "enable_consul", "enable_etcd", "lazy_load_images", "use_zstd")


def config_from_fly_toml(
    document: Mapping[str, Any],
    *,
    process_group: str | None = None,
    image: str | None = None,
    read_file: ReadFile,
) -> MachineConfig:
    """Give the config that flyctl would send for one process group of a parsed fly.toml.

    `process_group` may be left out where there is only one. `image` takes the place of `build.image`. `read_file` gives
    the bytes of a file that the document names by its path. A mount names its volume by `name`, as fly.toml does: put
    the id of a volume into it before creating a machine.

    Raises InvalidInput for what no machine's config can say: an image yet to be built, a key that is not known here.
    """
    top = Section("", document)
    top.ignore(*_NOT_OF_MACHINES)
    commands = _commands(top)
    group = _chosen(process_group, tuple(commands))
    mine = partial(_is_mine, group=group, groups=tuple(commands))
    web = [http_service(section) for section in top.tables("http_service") if mine(section)]
    vm, ends = (_most_specific(top.tables(key), group, tuple(commands)) for key in ("vm", "restart"))
    measured = [metrics(section) for section in top.tables("metrics") if mine(section)]
    host = top.text("host_dedication_id")
    sent = {
        "image": _image(top, image),
        "init": _init(top, commands.get(group)),
        "env": _env(top, group),
        "services": [*web, *(service(section) for section in top.tables("services") if mine(section))],
        "checks": _checks(top, web[0].internal_port if web else None, mine),
        "mounts": [mount(section) for key in ("mount", "mounts") for section in top.tables(key) if mine(section)],
        "files": [file(section, read_file) for section in top.tables("files") if mine(section)],
        "statics": [static(section) for section in top.tables("statics")],
        "stop_config": _stop_config(top),
        "restart": restart(ends) if ends else None,
        "metrics": measured[0] if measured else None,
        **({} if vm is None else {"guest": guest(vm, host)}),
    }
    return _onto(_foundation(top, read_file), top, group, {name: value or None for name, value in sent.items()})


def _onto(under: MachineConfig, top: Section, group: str, sent: Mapping[str, Any]) -> MachineConfig:
    """Put what fly.toml says onto the machine config that it names, as flyctl does."""
    container = top.text("container")
    top.finish()
    config = evolve(under, **{**sent, "init": _merged(under.init, sent["init"])})
    return evolve(
        config,
        metadata={**(under.metadata or {}), "fly_platform_version": "v2", "fly_process_group": group},
        containers=_with_image(under.containers, container, config.image),
    )


def _with_image(
    containers: Iterable[Container] | None, name: str | None, image: str | None
) -> tuple[Container, ...] | None:
    """Give the image to the container that is the app's: the named one, else `app`, else the first."""
    row = tuple(containers or ())
    if not row:
        return None
    names = [container.name for container in row]
    if name is not None and name not in names:
        raise InvalidInput(f"fly.toml: container is {name!r}, which machine_config does not have")
    chosen = names.index(name or _APP) if (name or _APP) in names else 0
    return tuple(evolve(each, image=image) if number == chosen else each for number, each in enumerate(row))


def _merged(under: Init | None, init: Init | None) -> Init | None:
    if under is None:
        return init
    said = init or Init()
    return evolve(under, exec=said.exec, entrypoint=said.entrypoint, cmd=said.cmd, swap_size_mb=said.swap_size_mb)


def _foundation(top: Section, read_file: ReadFile) -> MachineConfig:
    """Read the machine config that fly.toml builds on, JSON in place or in a file."""
    named = top.text("machine_config")
    if not named:
        return MachineConfig()
    is_json = named.lstrip().startswith("{")
    if not is_json and len(named.strip().splitlines()) > 1:
        problem = "is neither JSON nor the path of a file: YAML is not read here, so write it as JSON"
        raise top.wrong("machine_config", problem)
    content = named.encode() if is_json else read_file(named.strip())
    try:
        return structure(json.loads(content), MachineConfig)
    except (Mismatch, ValueError) as error:
        raise top.wrong("machine_config", f"must be JSON that describes a machine: {error}") from None


# Process groups


def _commands(top: Section) -> dict[str, str]:
    processes = top.table("processes")
    commands = processes.rest() if processes else {}
    if not all(isinstance(command, str) for command in commands.values()):
        raise top.wrong("processes", "must be a table of commands")
    return commands


def _default(groups: tuple[str, ...]) -> str:
    return _APP if _APP in groups or not groups else min(groups)


def _chosen(group: str | None, groups: tuple[str, ...]) -> str:
    known = groups or (_APP,)
    if group is None and len(known) == 1:
        return known[0]
    if group not in known:
        wrong = "says process_group" if group is None else f"has no process group {group!r}"
        raise InvalidInput(f"fly.toml {wrong}: choose one of {', '.join(known)}")
    return group


def _groups_of(section: Section, groups: tuple[str, ...]) -> tuple[str, ...]:
    """Give the groups that a section names; each must be there."""
    named = section.texts("processes") or ()
    known = groups or (_APP,)
    for group in named:
        if group not in known:
            raise section.wrong(
                "processes", f"names {group!r}, which is no process group: choose of {', '.join(known)}"
            )
    return named


def _is_mine(section: Section, *, group: str, groups: tuple[str, ...]) -> bool:
    """Tell whether a section is for this group; one for no group in particular is for the default one."""
    named = _groups_of(section, groups)
    return group in named if named else group == _default(groups)


def _most_specific(sections: Iterable[Section], group: str, groups: tuple[str, ...]) -> Section | None:
    """Choose the section for this group: its own, else the one for all."""
    named = [(_groups_of(section, groups), section) for section in sections]
    own = [section for names, section in named if group in names]
    for_all = [section for names, section in named if not names]
    return next(iter(own + for_all), None)


# What is run


def _image(top: Section, image: str | None) -> str:
    build = top.table("build") or Section("build", {})
    found = build.text("image")
    build.ignore(*_OF_BUILDING)
    build.finish()
    found = image or found
    if not found:
        raise InvalidInput(
            "fly.toml: an image is yet to be built from it, which has no equivalent here: build and push it, then give "
            'image="registry.fly.io/…"'
        )
    return found


def _init(top: Section, command: str | None) -> Init | None:
    own = top.table("experimental") or Section("experimental", {})
    cmd = own.words("cmd")
    init = Init(
        cmd=_split(top, command) if command else cmd,
        entrypoint=own.words("entrypoint"),
        exec=own.words("exec"),
        swap_size_mb=top.integer("swap_size_mb"),
    )
    own.ignore(*_OF_DEPLOYING)
    own.finish()
    return None if init == Init() else init


def _split(top: Section, command: str) -> list[str]:
    try:
        return shlex.split(command)
    except ValueError as error:
        raise top.wrong("processes", f"has a command that a shell could not read: {error}") from None


def _env(top: Section, group: str) -> dict[str, str]:
    env = {name: value for section in top.tables("env") for name, value in section.rest().items()}
    texts = {name: _as_text(top, name, value) for name, value in env.items()}
    region = top.text("primary_region")
    return texts | {"FLY_PROCESS_GROUP": group} | ({"PRIMARY_REGION": region} if region else {})


def _as_text(top: Section, name: str, value: Any) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, float):
        return repr(value).removesuffix(".0")
    if isinstance(value, str | int | date | time):
        return str(value)
    raise top.wrong(f"env.{name}", "must be a text")


def _stop_config(top: Section) -> StopConfig | None:
    signal, timeout = top.text("kill_signal"), top.duration("kill_timeout", unit=1)
    return None if signal is None and timeout is None else StopConfig(signal=signal, timeout=timeout)


# What it is reached by


def _checks(top: Section, port: int | None, mine: Callable[[Section], bool]) -> dict[str, Check]:
    return {name: top_check(section, port=port) for name, section in _named_checks(top) if mine(section)}


def _named_checks(top: Section) -> list[tuple[str, Section]]:
    """Take the checks by their names; those in a list say theirs."""
    value = top.take("checks") or {}
    if isinstance(value, Mapping):
        return Section("checks", value).named()
    sections = Section("", {"checks": value}).tables("checks")
    return [(_named(section), section) for section in sections]


def _named(section: Section) -> str:
    name = section.text("name")
    if not name:
        raise section.wrong("name", "is missing")
    return name
