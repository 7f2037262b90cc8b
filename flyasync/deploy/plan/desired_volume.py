"""DesiredVolume: the volume that each machine of a group gets; pure."""

from collections.abc import Mapping, Sequence
from typing import Any, Final, Literal, Self

from attrs import evolve, frozen

from flyasync.errors import InvalidInput
from flyasync.models.config import Mount, is_volume_name
from flyasync.models.fly_toml.mounts import MountSection
from flyasync.models.volume import Volume

# The limits are from Fly's docs: machines/api/volumes-resource, and reference/configuration for the extension. No upper
# limit is documented for growth by percent.
_BOUNDS: Final[Mapping[str, tuple[int, int | None]]] = {
    "size_gb": (1, 500),
    "extend_threshold_percent": (50, 99),
    "add_size_gb": (1, 100),
    "add_size_percent": (1, None),
    "min_add_size_gb": (1, None),
    "size_gb_limit": (1, 500),
    "snapshot_retention": (1, 60),
}
_OF_FLY_TOML: Final = ("extend_threshold_percent", "add_size_gb", "size_gb_limit")
_BY_PERCENT: Final = ("add_size_percent", "min_add_size_gb")
_EXTENSION: Final = (*_OF_FLY_TOML, *_BY_PERCENT)


@frozen(kw_only=True)
class DesiredVolume:
    """The volume that each machine gets, by name, mounted at `path`; a new volume has `size_gb`.

    `if_lost` is what to do if the machine has to leave the host of the volume: `fork` the volume with its data to
    another host, or create a `new`, empty one. With None, the machine is left unchanged.

    `extend_threshold_percent`, `add_size_gb`, `add_size_percent`, `min_add_size_gb` and `size_gb_limit` are those of
    `Mount`: of new machines, and of existing ones after an update. None keeps what a machine has, 0 removes it; growth
    by gigabytes replaces growth by percent, and the other way round. `snapshot_retention` (days) and
    `scheduled_snapshots` are for a volume that is created; an existing volume keeps its own.
    """

    name: str
    path: str
    size_gb: int = 1
    if_lost: Literal["fork", "new"] | None = None
    extend_threshold_percent: int | None = None
    add_size_gb: int | None = None
    add_size_percent: int | None = None
    min_add_size_gb: int | None = None
    size_gb_limit: int | None = None
    snapshot_retention: int | None = None
    scheduled_snapshots: bool | None = None

    @classmethod
    def of_section(cls, section: MountSection) -> Self:
        """Return the volume that one of a fly.toml's `[[mounts]]` states; raises InvalidInput for invalid values.

        A fly.toml states the automatic extension completely, so a key that it lacks is removed from the machines. It
        has no keys for growth by percent, which a machine keeps unless the fly.toml states another growth.
        """
        mount = section.mount
        stated: dict[str, Any] = {name: getattr(mount, name) or 0 for name in _OF_FLY_TOML}
        made = cls(
            name=mount.name or "",
            path=mount.path or "",
            size_gb=section.initial_size_gb or 1,
            snapshot_retention=section.snapshot_retention,
            scheduled_snapshots=section.scheduled_snapshots,
            **stated,
        )
        return made.checked()

    @classmethod
    def of_mount(cls, mount: Mount) -> Self:
        """Return the volume that a mount by name states, in a config; raises InvalidInput for invalid values.

        The mount's `size_gb` is the size of a new volume.
        """
        stated: dict[str, Any] = {name: getattr(mount, name) for name in _EXTENSION}
        made = cls(name=mount.volume_name or "", path=mount.path or "", size_gb=mount.size_gb or 1, **stated)
        return made.checked()

    def checked(self) -> Self:
        """Return the volume; raise InvalidInput for what the API would refuse."""
        if not is_volume_name(self.name):
            raise InvalidInput(f"{self.name!r} cannot be a volume's name: use 1 to 30 lowercase letters, digits and _")
        if not self.path.startswith("/"):
            raise InvalidInput(f"{self.path!r} is not a valid mount path: use an absolute path, such as '/data'")
        for name, (least, most) in _BOUNDS.items():
            value: Any = getattr(self, name)
            is_unset = value is None or (value == 0 and name in _EXTENSION)
            if not is_unset and (type(value) is not int or value < least or (most is not None and value > most)):
                bounds = f"from {least} to {most}" if most else f"of at least {least}"
                raise InvalidInput(f"{name} is {value!r}, but must be a whole number {bounds}", parameter=name)
        if self.extend_threshold_percent and not (self.add_size_gb or self.add_size_percent):
            raise InvalidInput(
                "extend_threshold_percent has no effect without add_size_gb or add_size_percent: state by how much the "
                "volume grows",
                parameter="extend_threshold_percent",
            )
        if self.add_size_gb and (self.add_size_percent or self.min_add_size_gb):
            raise InvalidInput(
                "add_size_gb excludes add_size_percent and min_add_size_gb: a volume grows either by GB or by percent",
                parameter="add_size_gb",
            )
        if self.if_lost not in {None, "fork", "new"}:
            raise InvalidInput(f"if_lost is {self.if_lost!r}, but must be 'fork', 'new' or None")
        return self

    def mounted(self, mount: Mount) -> Mount:
        """Return a mount with the path and the automatic extension that are stated; of which volume does not change."""
        # Zero means unset to the API.
        stated: dict[str, Any] = {
            name: value or None for name in _EXTENSION if (value := getattr(self, name)) is not None
        }
        # 1. No growth is stated, and none by percent is removed: such growth is kept, with its threshold and limit.
        if mount.add_size_percent and self.add_size_percent is None and not any(stated.values()):
            stated = {}
        # 2. One kind of growth is stated: it replaces the other, since the API refuses both.
        elif self.add_size_gb:
            stated |= dict.fromkeys(_BY_PERCENT)
        elif self.add_size_percent:
            stated["add_size_gb"] = None
        return evolve(mount, path=self.path, **stated)

    def mounts(self, current: Sequence[Mount] | None) -> tuple[Mount, ...]:
        """Return the mounts of a machine that has such a volume, or of a new one if it has no mounts yet."""
        return tuple(map(self.mounted, current or (Mount(name=self.name),)))

    def differing(self, volume: Volume) -> Mapping[str, str]:
        """Return the snapshot settings of a volume that differ from those stated, by the options that change them."""
        found = {}
        days, has_backups = volume.snapshot_retention, volume.auto_backup_enabled
        if None not in {days, self.snapshot_retention} and days != self.snapshot_retention:
            kept = f"snapshots are kept for {days} days, not {self.snapshot_retention}"
            found[f"--snapshot-retention {self.snapshot_retention}"] = kept
        if None not in {has_backups, self.scheduled_snapshots} and has_backups != self.scheduled_snapshots:
            option = "--scheduled-snapshots" if self.scheduled_snapshots else "--no-scheduled-snapshots"
            found[option] = f"scheduled snapshots are {'on' if has_backups else 'off'}"
        return found
