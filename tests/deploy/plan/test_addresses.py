import pytest
from attrs import evolve

from flyasync.deploy.plan.addresses import allocation, is_public, needed, no_address, reaches, remark_on, suitable, url
from flyasync.models.config import MachineConfig
from flyasync.models.ip_assignment import IPAssignment
from flyasync.models.machine import Machine
from flyasync.models.service import Port, Service

HTTP = Port(port=80, handlers=["http"])
HTTPS = Port(port=443, handlers=["tls", "http"])
SHARED, DEDICATED = ("shared_v4", "v6"), ("v4", "v6")


def config(*ports: Port, protocol: str | None = None) -> MachineConfig:
    return MachineConfig(image="nginx", services=[Service(internal_port=8080, ports=ports, protocol=protocol)])


PRIVATE = MachineConfig(image="nginx", services=[Service(internal_port=8080)])


@pytest.mark.parametrize(
    ("configs", "types"),
    [
        ([], ()),
        ([MachineConfig(image="nginx"), PRIVATE], ()),
        ([config(HTTP, HTTPS)], SHARED),
        ([config(Port(port=443, handlers=["http", "tls"]), protocol="tcp")], SHARED),
        ([PRIVATE, config(HTTPS)], SHARED),
        ([config(HTTP), config(Port(port=5432, handlers=["pg_tls"]))], DEDICATED),
        ([config(Port(port=8443, handlers=["tls", "http"]))], DEDICATED),
        ([config(Port(port=80))], DEDICATED),
        ([config(Port(port=443, handlers=["tls"]))], DEDICATED),
        ([config(Port(start_port=80, end_port=90, handlers=["http"]))], DEDICATED),
        ([config(Port(start_port=80, end_port=80, handlers=["http"]))], SHARED),
        ([config(HTTP), config(Port(port=53), protocol="udp")], ("v4",)),
    ],
)
def test_the_addresses_that_fit_the_public_services(configs: list[MachineConfig], types: tuple[str, ...]) -> None:
    assert suitable(configs) == types
    assert needed(configs, [], []) == types
    assert any(map(is_public, configs)) == bool(types)


@pytest.mark.parametrize("kind", ["private_v6", "egress-pair", "v4"])
def test_an_app_with_an_address_of_any_kind_or_with_machines_needs_none(kind: str) -> None:
    configs = [config(HTTP)]
    assert needed(configs, [IPAssignment(ip="fdaa::1", type=kind)], []) == ()
    assert needed(configs, [], [Machine(id="m1", name="one", state="stopped", region="iad")]) == ()


def test_what_a_killed_first_deploy_has_left_is_completed() -> None:
    metadata = {"fly_process_group": "fly_app_release_command"}
    migrates = Machine(
        id="m1", name="release-web", state="started", region="iad", config=MachineConfig(metadata=metadata)
    )
    assert needed([config(HTTP)], [], [migrates]) == SHARED
    shared, dedicated = IPAssignment(ip="66.241.124.1", shared=True), IPAssignment(ip="1.2.3.4", type="v4")
    assert needed([config(HTTP)], [shared], []) == ("v6",)
    assert needed([config(Port(port=5432))], [dedicated], []) == ("v6",)
    assert needed([config(HTTP)], [dedicated], []) == ()
    assert needed([config(HTTP)], [shared, IPAssignment(ip="2a09::1")], []) == ()
    assert needed([config(HTTP)], [evolve(shared, region="global", service_name="")], []) == ("v6",)


@pytest.mark.parametrize(
    "address",
    [
        IPAssignment(ip="2a09::1"),
        IPAssignment(ip="fdaa::1"),
        IPAssignment(ip="1.2.3.4", egress=True),
        IPAssignment(ip="1.2.3.4", region="ams"),
        IPAssignment(ip="1.2.3.4", service_name="other"),
    ],
    ids=["v6", "flycast", "egress", "of a region", "of a service"],
)
def test_an_address_that_a_first_deploy_would_not_allocate_first_is_not_completed(address: IPAssignment) -> None:
    assert needed([config(Port(port=5432))], [address], []) == ()


def test_an_app_is_not_reached_at_an_egress_address() -> None:
    assert reaches(IPAssignment(ip="66.241.124.1", shared=True))
    assert not reaches(IPAssignment(ip="1.2.3.4", egress=True))
    assert not reaches(IPAssignment(ip="1.2.3.4", type="egress_v4"))


def test_what_is_said_of_addresses() -> None:
    assert allocation(("shared_v4", "v6")) == "allocate a shared IPv4 and an IPv6"
    assert allocation(("v4",)) == "allocate a dedicated IPv4 (billed)"
    start = "web has no IP address, so its services are not reachable from outside; to allocate "
    assert no_address("web", [config(HTTP)]) == (
        f"{start}both kinds: flyasync ips allocate web --type shared_v4, and flyasync ips allocate web --type v6"
    )
    assert no_address("web", [config(Port(port=53), protocol="udp")]) == (
        f"{start}one: flyasync ips allocate web --type v4"
    )


@pytest.mark.parametrize(
    ("configs", "shown"),
    [
        ([config(HTTP, HTTPS)], "https://web.fly.dev"),
        ([PRIVATE, config(HTTPS)], "https://web.fly.dev"),
        ([config(HTTP)], "http://web.fly.dev"),
        ([config(Port(port=5432, handlers=["pg_tls"]))], None),
        ([config(Port(port=443, handlers=["tls"]))], None),
        ([PRIVATE], None),
    ],
)
def test_the_url_of_an_app_with_a_web_server(configs: list[MachineConfig], shown: str | None) -> None:
    assert url("web", configs) == shown


def test_the_remark_applies_to_public_services_without_an_address_that_reaches_them() -> None:
    public = config(HTTP)
    egress = IPAssignment(ip="66.1.1.1", type="egress_v4")
    for addresses in ((), (egress,)):
        assert remark_on("web", [public], addresses) == (no_address("web", [public]),)
    assert remark_on("web", [public], (egress, IPAssignment(ip="2a09::1", type="v6"))) == ()
    assert remark_on("web", [public], None) == ()
    assert remark_on("web", [MachineConfig(image="app")], ()) == ()
