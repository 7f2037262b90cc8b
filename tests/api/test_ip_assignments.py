import pytest

from flyasync.api.client import FlyClient
from flyasync.errors import NotFound
from flyasync.models.ip_assignment import IPNetwork


async def test_addresses_are_given_listed_and_taken_back(fly: FlyClient, app: str) -> None:
    shared = await fly.ip_assignments.create(app, type="shared_v4")
    own = await fly.ip_assignments.create(app, type="v6")
    assert shared.shared
    assert own.ip
    assert ":" in own.ip
    assert {one.ip for one in await fly.ip_assignments.list(app)} == {shared.ip, own.ip}
    await fly.ip_assignments.delete(app, own.ip)
    assert [one.ip for one in await fly.ip_assignments.list(app)] == [shared.ip]
    with pytest.raises(NotFound):
        await fly.ip_assignments.delete(app, own.ip)


@pytest.mark.parametrize("kind", ["egress-pair", "egress_pair"])
async def test_a_pair_to_call_out_from(fly: FlyClient, app: str, kind: str) -> None:
    made = await fly.ip_assignments.create(app, type=kind, region="iad")
    assert made.ip is None
    assert made.ip_pair
    assert made.ip_pair.v4
    assert made.ip_pair.v6


async def test_a_flycast_address_shows_its_network(fly: FlyClient, app: str) -> None:
    await fly.ip_assignments.create(app, type="private_v6", network="other", org_slug="acme")
    (address,) = await fly.ip_assignments.list(app)
    assert address.network == IPNetwork(name="other", org_slug="acme")
