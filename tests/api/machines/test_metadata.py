import pytest

from flyasync.api.client import FlyClient
from flyasync.errors import NotFound, StaleVersion
from tests.api.client_on_emulator import running


async def test_one_key_is_set_read_and_removed_whatever_its_name(fly: FlyClient, app: str) -> None:
    machine = await running(fly)
    await fly.machines.set_metadata(app, machine.id, "team/env", "prod")
    assert await fly.machines.get_metadata(app, machine.id, "team/env") == "prod"
    await fly.machines.delete_metadata(app, machine.id, "team/env")
    with pytest.raises(NotFound):
        await fly.machines.get_metadata(app, machine.id, "team/env")


async def test_both_ways_to_write_many_keys_hold_to_the_version(fly: FlyClient, app: str) -> None:
    machine = await running(fly)
    for write in (fly.machines.put_metadata, fly.machines.patch_metadata):
        await write(app, machine.id, {"a": "1", "b": "2"}, machine_version=machine.instance_id)
        await write(app, machine.id, {"b": None})
        assert (await fly.machines.metadata(app, machine.id)).get("a") == "1"
        assert "b" not in await fly.machines.metadata(app, machine.id)
        with pytest.raises(StaleVersion):
            await write(app, machine.id, {"a": "3"}, machine_version="01HXXXXXXXXXXXXXXXXXXXXXXX")
