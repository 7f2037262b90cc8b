"""Free volumes for mounts that name their volume instead of its id."""

from collections.abc import Awaitable, Callable, Collection, Iterable
from re import fullmatch

from attrs import define, evolve, field

from flyasync.errors import InvalidInput, NoFreeVolume
from flyasync.models.config import MachineConfig
from flyasync.models.volume import Volume


@define
class NamedVolumes:
    """Chooses free volumes by their names; two creates of one client never get the same one.

    Other clients do not know what this one has chosen. If two choose the same volume, the API gives it to one of them
    and refuses the other create with VolumeInUse.
    """

    _list: Callable[[str], Awaitable[tuple[Volume, ...]]]
    _chosen: set[str] = field(factory=set, init=False)

    async def choose(
        self, app: str, name: str, region: str | Iterable[str] | None, *, refused: Collection[str]
    ) -> Volume:
        """Choose a free volume, and keep it from other creates until it is released; `refused` are ids not to choose.

        Of several regions the first one with a free volume is used. Without a region, all free volumes of the name must
        be in the same one.

        Raises NoFreeVolume, and InvalidInput for a region that is not the code of one.
        """
        regions = region_codes(name, region)
        listed = await self._list(app)
        # There is no await from here on, so that no other create chooses the same volume.
        named = sorted((each for each in listed if each.name == name), key=lambda each: each.id)
        free = [each for each in named if each.is_free and each.id not in self._chosen and each.id not in refused]
        if not regions and len(where := {each.region for each in free}) > 1:
            raise InvalidInput(
                f"there are free volumes {name} in {' and '.join(sorted(where))}, so the machine needs a region",
                python="pass region=…",
                command="pass --region",
            )
        for code in regions or {each.region for each in free}:
            if found := next((each for each in free if each.region == code), None):
                self._chosen.add(found.id)
                return found
        held = [each.region for each in named if each.is_attached or each.id in self._chosen or each.id in refused]
        elsewhere = {each.region for each in free}
        raise NoFreeVolume(
            app, name, regions, held=sum(not regions or code in regions for code in held), free=elsewhere
        )

    def release(self, volume: Volume) -> None:
        """Let other creates choose a volume again: a machine holds it now, or none was created."""
        self._chosen.discard(volume.id)


def region_codes(name: str, region: str | Iterable[str] | None) -> tuple[str, ...]:
    """Return the codes of the regions in which a volume may be; raises InvalidInput for aliases such as `eu`."""
    texts = region.split(",") if isinstance(region, str) else region or ()
    codes = tuple(text.strip() for text in texts)
    if wrong := [code for code in codes if not fullmatch(r"[a-z]{3}", code) or code in {"any", "usa"}]:
        raise InvalidInput(
            f"{wrong[0]!r} is not the code of one region, such as 'iad', but the mount of the volume {name} by its "
            "name needs one: a machine runs where its volume is"
        )
    return codes


def mounting(config: MachineConfig, volume: Volume) -> MachineConfig:
    """Return a config that mounts this volume, by its id, where it mounted one by name."""
    return evolve(config, mounts=[evolve(mount, volume=volume.id, name=volume.name) for mount in config.mounts or ()])
