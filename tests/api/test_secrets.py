import pytest

from flyasync.api.client import FlyClient
from flyasync.errors import FlyError, NotFound, SecretsNotReady
from flyasync.models.secret import Secret
from tests.api.client_on_emulator import NGINX, asked

SECRET = "correct horse battery staple"


async def test_a_secret_is_set_and_told_apart_by_its_digest_alone(fly: FlyClient, app: str) -> None:
    made = await fly.secrets.set(app, "DB", SECRET)
    (listed,) = await fly.secrets.list(app)
    assert (listed.name, listed.value, listed.digest) == ("DB", None, made.digest)
    assert made.digest


async def test_values_come_when_asked_for_and_stay_out_of_the_repr(fly: FlyClient, app: str) -> None:
    await fly.secrets.set(app, "DB", SECRET)
    shown = await fly.secrets.get(app, "DB", show_secrets=True)
    assert shown.value == SECRET
    assert SECRET not in repr(shown)


async def test_an_update_sets_some_deletes_some_and_leaves_the_rest(fly: FlyClient, app: str) -> None:
    await fly.secrets.update(app, {"A": "1", "B": "2", "C": "3"})
    updated = await fly.secrets.update(app, {"A": None, "B": "22", "never there": None})
    assert updated.version
    found = {one.name: one.value for one in await fly.secrets.list(app, show_secrets=True)}
    assert found == {"B": "22", "C": "3"}


async def test_versions_grow_and_go_into_the_next_create(fly: FlyClient, app: str) -> None:
    first, second = await fly.secrets.set(app, "A", "1"), await fly.secrets.delete(app, "A")
    assert first.version
    assert second.version
    assert second.version > first.version
    await fly.machines.create(app, NGINX, min_secrets_version=second.version)
    with pytest.raises(SecretsNotReady):
        await fly.machines.create(app, NGINX, min_secrets_version=second.version + 1)


async def test_a_secret_that_is_not_there_is_not_found(fly: FlyClient, app: str) -> None:
    for ask in (fly.secrets.get, fly.secrets.delete):
        with pytest.raises(NotFound):
            await ask(app, "nothing")


@pytest.mark.parametrize("key", ["Version", "version"])
async def test_the_version_is_read_in_either_case(key: str) -> None:
    async with asked({"name": "A", key: 7}) as (_, fly):
        assert (await fly.secrets.set("web", "A", "1")).version == 7
        assert (await fly.secrets.delete("web", "A")).version == 7


@pytest.mark.parametrize("answer", [{"name": [SECRET]}, {"value": {"a": SECRET}}, [SECRET], SECRET])
async def test_no_error_repeats_a_value(answer: object) -> None:
    async with asked(answer) as (_, fly):
        with pytest.raises(FlyError) as caught:
            await fly.secrets.set("web", "A", SECRET)
    error: BaseException | None = caught.value
    while error:
        assert SECRET not in f"{error} {error!r} {error.__dict__}"
        error = error.__cause__


def test_two_secrets_with_the_same_name_and_value_are_equal() -> None:
    assert Secret(name="A", value="1") == Secret(name="A", value="1") != Secret(name="A", value="2")
