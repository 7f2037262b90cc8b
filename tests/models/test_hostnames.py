"""The names of the private network, letter by letter."""

import pytest

from flyasync.errors import InvalidInput
from flyasync.models import hostnames as hosts


@pytest.mark.parametrize(
    ("host", "expected"),
    [
        (hosts.machine_host("web", "m1"), "m1.vm.web.internal"),
        (hosts.app_host("web"), "web.internal"),
        (hosts.global_host("web"), "global.web.internal"),
        (hosts.region_host("web", "lhr"), "lhr.web.internal"),
        (hosts.process_group_host("web", "worker"), "worker.process.web.internal"),
        (hosts.nearest_host("web", 3), "top3.nearest.of.web.internal"),
        (hosts.nearest_host("web"), "top1.nearest.of.web.internal"),
        (hosts.metadata_host("web", "role", "primary"), "primary.role.kv._metadata.web.internal"),
        (hosts.peer_host("laptop"), "laptop._peer.internal"),
        (hosts.flycast_host("web"), "web.flycast"),
        (hosts.public_host("web"), "web.fly.dev"),
        (hosts.machines_txt("web"), "vms.web.internal"),
        (hosts.all_machines_txt("web"), "all.vms.web.internal"),
        (hosts.regions_txt("web"), "regions.web.internal"),
        (hosts.all_regions_txt("web"), "all.regions.web.internal"),
        (hosts.apps_txt(), "_apps.internal"),
        (hosts.instances_txt(), "_instances.internal"),
        (hosts.instances_txt(stopped=True), "all._instances.internal"),
    ],
)
def test_names(host: str, expected: str) -> None:
    assert host == expected


def test_the_nearest_none_is_refused() -> None:
    with pytest.raises(InvalidInput, match="1 or more"):
        hosts.nearest_host("web", 0)
