from typing import Any

import pytest

from flyasync.deploy.plan.desired_volume import DesiredVolume
from flyasync.errors import InvalidInput
from flyasync.models.config import Mount
from flyasync.models.fly_toml.mounts import MountSection
from flyasync.models.volume import Volume

DATA = DesiredVolume(name="data", path="/data")
GROWING = Mount(volume="vol_1", path="/data", extend_threshold_percent=80, add_size_gb=5, size_gb_limit=50)


@pytest.mark.parametrize(
    ("given", "says"),
    [
        ({"name": "my-data"}, "'my-data' cannot be a volume's name"),
        ({"path": "data"}, "'data' is not a valid mount path"),
        ({"size_gb": 501}, "size_gb is 501, but must be a whole number from 1 to 500"),
        ({"size_gb": 0}, "size_gb is 0"),
        ({"size_gb": True}, "size_gb is True"),
        ({"extend_threshold_percent": 49, "add_size_gb": 1}, "extend_threshold_percent is 49"),
        ({"extend_threshold_percent": 80}, "has no effect without add_size_gb"),
        ({"extend_threshold_percent": 80, "add_size_gb": 0}, "has no effect without add_size_gb"),
        ({"add_size_gb": 101}, "add_size_gb is 101, but must be a whole number from 1 to 100"),
        ({"add_size_percent": -1}, "add_size_percent is -1, but must be a whole number of at least 1"),
        ({"min_add_size_gb": 1.5}, "min_add_size_gb is 1.5"),
        ({"add_size_gb": 1, "add_size_percent": 10}, "add_size_gb excludes add_size_percent"),
        ({"add_size_gb": 1, "min_add_size_gb": 1}, "add_size_gb excludes add_size_percent and min_add_size_gb"),
        ({"size_gb_limit": -1}, "size_gb_limit is -1"),
        ({"snapshot_retention": 0}, "snapshot_retention is 0, but must be a whole number from 1 to 60"),
        ({"if_lost": "ask"}, "if_lost is 'ask'"),
    ],
)
def test_what_the_api_would_refuse_is_refused(given: dict[str, Any], says: str) -> None:
    values: dict[str, Any] = {"name": "data", "path": "/data", **given}
    with pytest.raises(InvalidInput) as caught:
        DesiredVolume(**values).checked()
    assert says in str(caught.value)


def test_what_is_not_stated_of_the_extension_is_kept_and_a_zero_removes_it() -> None:
    assert DATA.mounted(GROWING) == GROWING
    stated = DesiredVolume(name="data", path="/srv", extend_threshold_percent=90, add_size_gb=1, size_gb_limit=0)
    assert stated.mounted(GROWING) == Mount(
        volume="vol_1", path="/srv", extend_threshold_percent=90, add_size_gb=1, size_gb_limit=None
    )
    assert DATA.mounts(None) == (Mount(name="data", path="/data"),)
    assert DATA.mounts([GROWING]) == (GROWING,)


def test_growth_by_percent_is_kept_until_growth_is_stated_or_it_is_removed() -> None:
    by_percent = Mount(
        volume="vol_1", path="/data", extend_threshold_percent=80, add_size_percent=20, min_add_size_gb=2
    )
    without = DesiredVolume.of_section(MountSection(mount=Mount(name="data", path="/data")))
    assert without.mounted(by_percent) == DATA.mounted(by_percent) == by_percent
    by_gigabytes: dict[str, Any] = {"extend_threshold_percent": 90, "add_size_gb": 1}
    section = MountSection(mount=Mount(name="data", path="/data", **by_gigabytes))
    assert DesiredVolume.of_section(section).mounted(by_percent) == Mount(volume="vol_1", path="/data", **by_gigabytes)
    removed: dict[str, Any] = {"extend_threshold_percent": 0, "add_size_percent": 0, "min_add_size_gb": 0}
    stated = DesiredVolume(name="data", path="/data", **removed)
    assert stated.checked().mounted(by_percent) == Mount(volume="vol_1", path="/data")


def test_growth_by_percent_replaces_growth_by_gigabytes() -> None:
    stated = DesiredVolume(name="data", path="/data", extend_threshold_percent=80, add_size_percent=25).checked()
    assert stated.mounted(GROWING) == Mount(
        volume="vol_1", path="/data", extend_threshold_percent=80, add_size_percent=25, size_gb_limit=50
    )
    named = Mount(name="data", path="/data", add_size_percent=25, min_add_size_gb=3)
    assert DesiredVolume.of_mount(named).mounts(None) == (named,)


def test_a_section_of_a_fly_toml_states_the_extension_completely() -> None:
    section = MountSection(
        mount=Mount(name="data", path="/data"), initial_size_gb=10, snapshot_retention=14, scheduled_snapshots=False
    )
    made = DesiredVolume.of_section(section)
    assert (made.name, made.path, made.size_gb) == ("data", "/data", 10)
    assert (made.snapshot_retention, made.scheduled_snapshots) == (14, False)
    assert made.mounted(GROWING) == Mount(volume="vol_1", path="/data")
    grows = MountSection(mount=Mount(name="data", path="/data", extend_threshold_percent=80, add_size_gb=5))
    assert DesiredVolume.of_section(grows).mounted(Mount(volume="vol_1", path="/data")) == Mount(
        volume="vol_1", path="/data", extend_threshold_percent=80, add_size_gb=5
    )
    with pytest.raises(InvalidInput, match="cannot be a volume's name"):
        DesiredVolume.of_section(MountSection(mount=Mount(path="/data")))


@pytest.mark.parametrize("mount", [Mount(volume="data"), Mount(name="data"), Mount(volume="data", name="other")])
def test_a_mount_names_its_volume_by_name_or_in_place_of_the_id(mount: Mount) -> None:
    assert mount.volume_name == "data"
    assert Mount(volume="vol_4xp0z9y2gw8kq6jr", name="data").volume_name is None
    assert Mount(path="/data").volume_name is None


@pytest.mark.parametrize(
    ("retention", "has_backups", "found"),
    [
        (
            5,
            True,
            {
                "--snapshot-retention 10": "snapshots are kept for 5 days, not 10",
                "--no-scheduled-snapshots": "scheduled snapshots are on",
            },
        ),
        (10, False, {}),
        (None, None, {}),
        (10, True, {"--no-scheduled-snapshots": "scheduled snapshots are on"}),
    ],
)
def test_settings_of_an_existing_volume_that_differ(
    *, retention: int | None, has_backups: bool | None, found: dict[str, str]
) -> None:
    volume = Volume(
        id="vol_1",
        name="data",
        state="created",
        region="iad",
        snapshot_retention=retention,
        auto_backup_enabled=has_backups,
    )
    stated = DesiredVolume(name="data", path="/d", snapshot_retention=10, scheduled_snapshots=False)
    assert stated.differing(volume) == found
    assert DATA.differing(volume) == {}
