"""A remark for an app with services and without an address, and for no other app."""

import pytest

from flyasync import DeployBuilder, Fault, MachineConfig
from flyasync.models.service import Service
from tests.deploy.conftest import total, world

SERVING = DeployBuilder("web").to_regions("iad").with_image("nginx").with_service(internal_port=80)


@pytest.mark.parametrize("builder", [SERVING, SERVING.rolling()])
async def test_an_app_without_an_address_is_told_how_to_get_one(builder: DeployBuilder) -> None:
    async with world() as (_, fly):
        plan = await builder.plan(fly)
        report = await builder.execute(fly)
    for remarks in (plan.remarks, report.remarks):
        (remark,) = (remark for remark in remarks if "no IP address" in remark)
        assert "flyasync ips allocate web --type shared_v4" in remark
    assert report.ok


@pytest.mark.parametrize(("kind", "is_told"), [("v6", False), ("private_v6", False), ("egress-pair", True)])
async def test_an_address_to_be_reached_at_is_enough(kind: str, is_told: bool) -> None:  # noqa: FBT001 - of the test
    async with world() as (_, fly):
        await fly.ip_assignments.create("web", type=kind, region="iad")
        assert any("no IP address" in remark for remark in (await SERVING.plan(fly)).remarks) == is_told


async def test_what_serves_nothing_needs_none() -> None:
    async with world() as (emulator, fly):
        plain = DeployBuilder("web").to_regions("iad").with_image("nginx")
        assert (await plain.plan(fly)).remarks == ()
        inside = plain.with_config(MachineConfig(image="nginx", services=[Service(internal_port=80)]))
        assert (await inside.plan(fly)).remarks == ()
        assert total(emulator, "listAppIPAssignments") == 0


async def test_a_token_that_may_not_see_the_addresses_is_no_hindrance() -> None:
    fault = Fault(does="refuse", action="*IP*", status=403, body={"error": "no"})
    async with world(faults=[fault]) as (_, fly):
        assert (await SERVING.plan(fly)).remarks == ()
