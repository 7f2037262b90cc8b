import asyncio

import pytest

from flyasync.api.client import FlyClient
from flyasync.errors import InvalidInput, NotFound, Unreadable
from flyasync.models.postgres import PostgresCluster
from tests.api.client_on_emulator import asked


async def ready(fly: FlyClient, cluster: PostgresCluster) -> PostgresCluster:
    assert cluster.id
    async with asyncio.timeout(3600):
        while not cluster.is_ready:
            await asyncio.sleep(5)
            cluster = await fly.postgres.get(str(cluster.id))
    return cluster


@pytest.fixture
async def cluster(fly: FlyClient) -> str:
    made = await fly.postgres.create("personal", name="pg", region="iad", plan="basic", disk_size_gb=10)
    return str((await ready(fly, made)).id)


async def test_a_cluster_becomes_ready_is_listed_and_goes(fly: FlyClient, cluster: str) -> None:
    found = await fly.postgres.get(cluster)
    assert found.endpoints
    assert found.endpoints.primary
    assert [one.id for one in await fly.postgres.list("personal")] == [cluster]
    await fly.postgres.delete(cluster)
    with pytest.raises(NotFound):
        await fly.postgres.get(cluster)
    assert await fly.postgres.list("personal") == ()
    (gone,) = await fly.postgres.list("personal", include_deleted=True)
    assert gone.deleted_at


async def test_databases_and_extensions_come_and_go(fly: FlyClient, cluster: str) -> None:
    assert (await fly.postgres.create_database(cluster, "shop")).name == "shop"
    assert "shop" in [one.name for one in await fly.postgres.list_databases(cluster)]
    name = next(str(one.name) for one in await fly.postgres.list_extensions(cluster, "shop") if not one.installed)
    await fly.postgres.enable_extension(cluster, "shop", name)
    installed = {one.name: one.installed for one in await fly.postgres.list_extensions(cluster, "shop")}
    assert installed[name]
    await fly.postgres.disable_extension(cluster, "shop", name, force=True)
    await fly.postgres.delete_database(cluster, "shop")
    assert "shop" not in [one.name for one in await fly.postgres.list_databases(cluster)]


async def test_users_have_roles_and_passwords_that_are_not_shown(fly: FlyClient, cluster: str) -> None:
    await fly.postgres.create_user(cluster, "ada", role="writer")
    await fly.postgres.update_user_role(cluster, "ada", role="reader")
    assert ("ada", "reader") in [(one.username, one.role) for one in await fly.postgres.list_users(cluster)]
    before = await fly.postgres.user_credentials(cluster, "ada")
    after = await fly.postgres.rotate_password(cluster, "ada", kill_sessions=True)
    assert before.password
    assert after.password not in {None, before.password}
    assert str(before.password) not in repr(before)
    await fly.postgres.delete_user(cluster, "ada")


async def test_a_cluster_is_backed_up_restored_and_forked(fly: FlyClient, cluster: str) -> None:
    await fly.postgres.create_backup(cluster)
    await asyncio.sleep(600)
    (backup,) = await fly.postgres.list_backups(cluster)
    assert backup.finished_at
    restored = await fly.postgres.restore(cluster, backup_id=backup.id, name="restored")
    forked = await fly.postgres.fork(cluster, name="forked")
    assert {restored.name, forked.name} == {"restored", "forked"}


async def test_a_cluster_is_attached_to_an_app(fly: FlyClient, app: str, cluster: str) -> None:
    assert (await fly.postgres.attach(cluster, app)).app_name == app
    attached = (await fly.postgres.get(cluster)).attached_apps or ()
    assert [one.name for one in attached] == [app]
    await fly.postgres.detach(cluster, app)


async def test_the_queries_of_a_cluster_are_listed(fly: FlyClient, cluster: str) -> None:
    assert await fly.postgres.list_active_queries(cluster, "fly-db") == ()
    assert await fly.postgres.list_slow_queries(cluster) == ()
    with pytest.raises(NotFound, match="Cluster not found"):
        await fly.postgres.list_slow_queries("none", range=60)


async def test_a_query_is_read_with_its_times_and_its_text_is_not_shown() -> None:
    row = {"pid": 7, "query": "select 'card 4111'", "database": "shop", "duration_seconds": 0.25, "state": "active"}
    async with asked({"data": [row]}) as (_, fly):
        (active,) = await fly.postgres.list_active_queries("pg1", "shop")
    assert (active.pid, active.query, active.duration_seconds) == (7, "select 'card 4111'", 0.25)
    assert "4111" not in repr(active)
    async with asked({"data": [{"query_id": "9", "query": "select $1", "calls": 3}]}) as (_, fly):
        (slow,) = await fly.postgres.list_slow_queries("pg1", range=3600)
    assert (slow.query_id, slow.calls) == ("9", 3)
    assert "select" not in repr(slow)


async def test_queries_are_asked_for_with_values_that_the_api_accepts() -> None:
    fly = FlyClient("token")
    for blank in ("", " "):
        with pytest.raises(InvalidInput, match="not the name of a database"):
            await fly.postgres.list_active_queries("pg1", blank)
    for outside in (0, 604_801):
        with pytest.raises(InvalidInput, match=f"range is {outside}, but must be from 1 to 604800 seconds"):
            await fly.postgres.list_slow_queries("pg1", range=outside)


@pytest.mark.parametrize("given", [{}, {"backup_id": "b", "pitr_time": "2026-01-01T00:00:00Z"}])
async def test_a_restore_is_from_one_thing(given: dict[str, str]) -> None:
    with pytest.raises(InvalidInput, match="either"):
        await FlyClient("token").postgres.restore("pg1", **given)


@pytest.mark.parametrize("answer", [None, {}, [], {"data": None}, {"id": "pg1"}])
async def test_an_answer_without_its_envelope_is_unreadable(answer: object) -> None:
    async with asked(answer) as (_, fly):
        if answer == {"data": None}:
            assert (await fly.postgres.get("pg1")).id is None
        else:
            with pytest.raises(Unreadable, match="data"):
                await fly.postgres.get("pg1")
