"""A fly.toml that has been read, and the machine configs that flyctl would send for it.

docs: reference/configuration
"""

from collections.abc import Iterable, Mapping
from typing import Final, TypeVar

from attrs import evolve, field, frozen

from flyasync.errors import InvalidInput
from flyasync.models.config import Init, MachineConfig, Metrics, Static
from flyasync.models.container import Container, File, Restart, StopConfig
from flyasync.models.fly_toml.deploy import DeploySection
from flyasync.models.fly_toml.groups import APP, UNKNOWN_GROUP, Scoped, default_group, own_and_common
from flyasync.models.fly_toml.mounts import MountSection
from flyasync.models.fly_toml.section import INVALID_VALUE, UNKNOWN_KEY
from flyasync.models.guest import Guest
from flyasync.models.lint.finding import Finding
from flyasync.models.lint.linter import check_app_name, lint
from flyasync.models.service import Check, Service

T = TypeVar("T")

# The fields of a config by the sections and keys that state them, if a field without one is removed.
_FIELD_OF: Final = {
    **{name: name for name in ("env", "services", "checks", "mounts", "files", "restart", "metrics", "statics")},
    "http_service": "services",
    "mount": "mounts",
    "metric": "metrics",
    "swap_size_mb": "init.swap_size_mb",
    "kill_signal": "stop_config",
    "kill_timeout": "stop_config",
}
_TO_BE_BUILT: Final = "registry.fly.io/to-be-built"
_STATED_OF_INIT: Final = ("exec", "entrypoint", "cmd", "swap_size_mb")
# The fields of a config for which fly.toml has sections.
_STATED: Final = (
    *("env", "services", "checks", "mounts", "files", "restart", "metrics", "statics", "stop_config"),
    *(f"init.{name}" for name in _STATED_OF_INIT),
)


@frozen(kw_only=True, repr=False)
class FlyToml:
    """A fly.toml that has been read completely: its app settings, and the config of each process group.

    `findings` are the invalid values (`certain`) and the warnings, about unknown keys and ambiguous values. A config
    that is made in spite of them lacks these values. `source` names the file. `deploy` and `mounts_of` return what the
    file says about deploys and new volumes, which is not part of a machine's config. `meant` are the keys of the top
    level that may have been meant by an unknown one, with the unknown one.
    """

    source: str = "fly.toml"
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
    meant: Mapping[str, str] = field(factory=dict)

    def problems(self, *groups: str, strict: bool = False) -> tuple[Finding, ...]:
        """Return the findings of the file, of the app's name, and of the config of each of the groups (default: all).

        `flyasync lint` shows these, and `refuse` raises for them. With `strict`, keys and names of groups without
        effect are certain, too. The config of a file that names no image is checked as if it had one.
        """
        names = groups or self.groups
        found = [evolve(each, certain=each.certain or (strict and _has_no_effect(each))) for each in self.findings]
        if self.app is not None:
            found += (evolve(each, path="app") for each in check_app_name(self.app))
        # Each process group has its own config: a problem in one may not be a problem in another.
        for group in names:
            prefix = f"{group}: " if len(names) > 1 else ""
            config = self.config(group, image=self.image or _TO_BE_BUILT)
            found += (evolve(each, path=prefix + each.path) for each in lint(config, volumes_by_name=True))
        return tuple(found)

    @property
    def ignored(self) -> tuple[Finding, ...]:
        """The keys, and names of groups, that have no effect."""
        return tuple(each for each in self.findings if _has_no_effect(each))

    def refuse(self, *groups: str, strict: bool = False, of_api: bool = True) -> None:
        """Raise InvalidInput with all certain problems and, if `strict`, all keys and names of groups without effect.

        Do nothing if there are none. With `of_api`, what the API would refuse in a config is a problem, too. The app's
        name is not checked, since a deploy may name another app.
        """
        in_file = {each.path for each in self.findings}
        every = (each for each in self.problems(*groups, strict=strict) if of_api or each.path in in_file)
        found = [each for each in every if each.certain and each.code != "app-name"]
        wrong = [_told(each) for each in found if not _has_no_effect(each)]
        unknown = [f"{each.path}: {each.message}" for each in found if _has_no_effect(each)]
        advice = {
            "python": "correct or remove these keys, or pass strict=False to ignore them as flyctl does",
            "command": "correct or remove these keys, or omit --strict to ignore them as flyctl does",
        }
        if wrong or unknown:
            message = f"{self.source}: {'; '.join([*wrong, *unknown])}"
            raise InvalidInput(message, **(advice if unknown else {}))

    def config(self, group: str | None = None, *, image: str | None = None) -> MachineConfig:
        """Return the config of a process group, which may be omitted if there is only one.

        `image` replaces `build.image`. Raises InvalidInput for an unknown group, and if there is no image.
        """
        if group is None and len(self.groups) == 1:
            (group,) = self.groups
        if group is None or group not in self.groups:
            wrong = "has several process groups" if group is None else f"has no process group {group!r}"
            raise InvalidInput(f"{self.source} {wrong}: choose one of {', '.join(self.groups)}")
        image = image or self.image
        if not image:
            raise InvalidInput(
                f"{self.source} names no image, and flyasync does not build one",
                python='build and push it, then pass image="registry.fly.io/…"',
                command="build and push it, then pass --image registry.fly.io/…",
            )
        region = {"PRIMARY_REGION": self.primary_region} if self.primary_region else {}
        base = self.base
        # flyctl uses the last [[vm]] that names the group, else the first one that names none; for [[restart]] always
        # the last one.
        own_guests, common_guests = own_and_common(group, self.guests)
        guest = own_guests[-1] if own_guests else next(iter(common_guests), base.guest)
        own_restarts, common_restarts = own_and_common(group, self.restarts)
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

    def stated(self, group: str) -> tuple[str, ...]:
        """Return the fields of MachineConfig that the file states completely for a process group.

        As in flyctl, a deploy replaces these, even by nothing, and keeps the other fields of a machine; also the guest,
        if no `[[vm]]` applies to the group. Of `init`, it states single fields, such as `init.cmd`, since it cannot
        express all. What `machine_config` sets is merged with that of the machine, key by key.
        """
        has_guest = any(not named or group in named for named, _ in self.guests)
        return (*_STATED, "guest") if has_guest else _STATED

    @property
    def in_doubt(self) -> Mapping[str, str]:
        """The fields of MachineConfig that the file may state under an unknown key, with that key."""
        return {_FIELD_OF[meant]: key for meant, key in self.meant.items() if meant in _FIELD_OF}

    def mounts_of(self, group: str) -> tuple[MountSection, ...]:
        """Return the mounts of a process group, and the options for creating their volumes."""
        return self._of(group, self.mounts)

    def port_of(self, group: str) -> int | None:
        """Return the port for a check without one: the internal port of the process group's http_service."""
        return next((each.internal_port for each in self._of(group, self.web)), None)

    @property
    def app_container(self) -> int:
        """The number of the container that gets the deployed image: the named one, else `app`, else the first."""
        names = [container.name for container in self.base.containers or ()]
        return names.index(self.container or APP) if (self.container or APP) in names else 0

    def is_for(self, group: str, named: tuple[str, ...]) -> bool:
        """Whether a section is for a process group; one that names none is for the default group."""
        return group in named if named else group == default_group(self.groups)

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
        """Return the containers, with `image` as that of the app's container."""
        chosen, numbered = self.app_container, enumerate(self.base.containers or ())
        return tuple(evolve(each, image=image) if number == chosen else each for number, each in numbered) or None


def _has_no_effect(found: Finding) -> bool:
    return found.code in (UNKNOWN_KEY, UNKNOWN_GROUP)


def _told(found: Finding) -> str:
    """Return a finding as part of a sentence. The message about an invalid value continues its path."""
    return f"{found.path} {found.message}" if found.code == INVALID_VALUE else str(found)
