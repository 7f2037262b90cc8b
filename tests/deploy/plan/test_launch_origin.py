"""What machines record about the launch that made or updated them, whatever becomes of it."""

from typing import Any

import pytest

from flyasync import DeployBuilder, Emulator, Fault, InvalidInput
from flyasync.deploy.plan.launch_origin import LaunchOrigin
from flyasync.deploy.reporting.spec_json import read_spec, write_spec
from flyasync.models.machine import GONE
from tests.deploy.conftest import world

V1 = DeployBuilder("web").to_regions("iad", "lhr").with_image("nginx:1").rolling().smoke_check(0).with_launch("v1")
V2 = V1.with_image("nginx:2").with_launch("v2")
FIRST = {"flyasync_message": "first", "flyasync_commit": "a1b2c3d", "flyasync_by": "alice"}
SECOND = {"flyasync_message": "second", "flyasync_by": "bob"}


def origins(emulator: Emulator) -> dict[str, dict[str, str]]:
    """Give what each machine records of its launch."""
    return {
        machine.name: {key: value for key, value in machine.config["metadata"].items() if key in {*FIRST, *SECOND}}
        for machine in emulator.world.machines.values()
        if machine.state not in GONE
    }


def first(builder: DeployBuilder = V1) -> DeployBuilder:
    return builder.with_message("first", commit="a1b2c3d", by="alice")


def second(builder: DeployBuilder = V2) -> DeployBuilder:
    return builder.with_message("second", by="bob")


async def test_machines_that_are_created_or_updated_record_it_and_nothing_of_the_launch_before() -> None:
    async with world() as (emulator, fly):
        await first().execute(fly)
        assert origins(emulator) == {"app-iad-1": FIRST, "app-lhr-1": FIRST}
        await second(V2.count(2)).execute(fly)
        assert list(origins(emulator).values()) == [SECOND] * 4


async def test_a_launch_that_only_adds_records_it() -> None:
    async with world() as (emulator, fly):
        await first(DeployBuilder("web").to_regions("iad").with_image("nginx").with_launch("v1")).execute(fly)
        assert origins(emulator) == {"v1-iad-1": FIRST}


async def test_another_commit_of_the_same_config_changes_nothing() -> None:
    async with world() as (emulator, fly):
        await first().execute(fly)
        again = second(V1.with_launch("v2"))
        assert (await again.plan(fly)).is_empty
        assert (await again.execute(fly)).ok
        assert origins(emulator) == {"app-iad-1": FIRST, "app-lhr-1": FIRST}


async def test_new_secrets_alone_are_not_a_launch() -> None:
    async with world() as (emulator, fly):
        await first().execute(fly)
        await fly.secrets.set("web", "A", "secret-value")
        await second(DeployBuilder("web").only_secrets()).execute(fly)
        assert origins(emulator) == {"app-iad-1": FIRST, "app-lhr-1": FIRST}


async def test_an_undo_and_a_rollback_restore_it() -> None:
    async with world(faults=[Fault(does="crash", region="lhr", image="nginx:3")]) as (emulator, fly):
        await first().execute(fly)
        await second().execute(fly)
        await DeployBuilder("web").undo(fly)
        assert origins(emulator) == {"app-iad-1": FIRST, "app-lhr-1": FIRST}
        report = await second(V2.with_image("nginx:3").with_launch("v3").roll_back_on_failure()).execute(fly)
        assert str(report.status) == "rolled back"
        assert origins(emulator) == {"app-iad-1": FIRST, "app-lhr-1": FIRST}


async def test_a_machine_that_a_rollback_makes_again_has_what_it_had() -> None:
    async with world() as (emulator, fly):
        await first().execute(fly)
        await second(V2.recreate()).execute(fly)
        await DeployBuilder("web").undo(fly)
        assert list(origins(emulator).values()) == [FIRST] * 2


async def test_a_clone_belongs_to_no_launch() -> None:
    async with world() as (emulator, fly):
        await first().execute(fly)
        machine, *_ = await fly.machines.list("web")
        clone = await fly.machines.clone("web", machine.id, region="nrt")
        assert origins(emulator)[clone.name] == {}


# What is stored of a text.


@pytest.mark.parametrize(
    ("text", "stored"),
    [
        ("fix: a,\n\n  two lines\t\x1b[31mred\x1b[0m", "fix: a, two lines red"),
        ("x" * 200, "x" * 200),
        ("x" * 201, "x" * 199 + "…"),
        ("from https://user:hunter2@git.example/web", "from https://…@git.example/web"),
        ("with fm2_lJPECAAAAAAAAAAAA and ghp_0123456789abcdef", "with [redacted] and [redacted]"),
        ("", ""),
    ],
)
def test_a_text_is_one_short_line_without_secrets(text: str, stored: str) -> None:
    assert LaunchOrigin(message=text).message == stored


def test_an_empty_text_is_not_stored() -> None:
    assert LaunchOrigin(message="", commit="a1b2c3d").marks == {"flyasync_commit": "a1b2c3d"}


def test_anything_but_a_text_is_refused() -> None:
    number: Any = 42
    with pytest.raises(InvalidInput, match="a launch consists of texts, not int"):
        DeployBuilder("web").with_message(number)


def test_a_journal_keeps_it_and_lacks_it_where_there_is_none() -> None:
    data, redacted = write_spec(first().deployment())
    assert read_spec(data).origin == LaunchOrigin(message="first", commit="a1b2c3d", by="alice")
    assert redacted == {}
    assert "origin" not in write_spec(V1.deployment())[0]
