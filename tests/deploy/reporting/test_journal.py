"""The journal: what it holds and what not, whoever may read it, and what is read from it again."""

import asyncio
import json
import os
import re
import stat
from pathlib import Path
from typing import Any

import pytest
from attrs import evolve

from flyasync import (
    Check,
    DeployBuilder,
    DeploySpec,
    Emulator,
    Fault,
    File,
    Guest,
    InvalidInput,
    MachineConfig,
    Service,
)
from flyasync.deploy.plan.plan import Plan
from flyasync.deploy.plan.strategies.canary import Canary
from flyasync.deploy.plan.strategy import Share
from flyasync.deploy.reporting.journal import Journal, JournalFile
from flyasync.deploy.reporting.resume import JournalReplay, read_journal
from flyasync.deploy.reporting.spec_json import read_spec, write_spec
from flyasync.models.config import Mount
from flyasync.models.json.codec import structure
from tests.deploy.conftest import world

WANTED = (
    DeployBuilder("web")
    .to_regions("iad", "lhr")
    .with_image("shop:1")
    .with_launch("v1")
    .with_env(PASSWORD="hunter2", MODE="fast")
    .with_release_command("bin/migrate", timeout=60)
    .rolling()
)
API = "https://api.example"
PLAN = Plan(app="web", launch="v1", image="x", fallback="skip", stages=())


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "deploy.jsonl"


def lines(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text().splitlines()]


def text_of(path: Path) -> str:
    return path.read_text()


def put(path: Path, text: str, mode: int = 0o600) -> None:
    path.write_text(text)
    path.chmod(mode)


def mode_of(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


async def deployed(path: Path, builder: DeployBuilder = WANTED, **options: Any) -> tuple[Emulator, str]:
    async with world(seed=1, **options) as (emulator, fly):
        await builder.with_journal(path).execute(fly)
    return emulator, text_of(path)


# What is written.


async def test_there_is_a_line_for_each_thing_decided_and_done(path: Path) -> None:
    await deployed(path, WANTED.to_regions("iad"))
    told = [
        " ".join(str(line[key]) for key in ("what", "name", "step", "phase") if key in line) for line in lines(path)
    ]
    assert told == [
        "planned",
        "began release-app",
        "stepped release-app Create",
        "stepped release-app RunToEnd",
        "ended release-app ended",
        "began app-iad-1",
        "stepped app-iad-1 Create",
        "stepped app-iad-1 AwaitStarted",
        "stepped app-iad-1 Watch",
        "ended app-iad-1 watching",
        "finished",
    ]


async def test_times_are_seconds_since_the_deploy_began(path: Path) -> None:
    await asyncio.sleep(100)
    await deployed(path)
    times = [line["at"] for line in lines(path)]
    assert times == sorted(times)
    assert 0 <= times[0] < 5
    assert times[-1] == pytest.approx(lines(path)[-1]["seconds"], abs=0.1)


async def test_the_plan_names_what_was_there_by_its_version_and_no_config(path: Path) -> None:
    async with world(seed=1) as (_, fly):
        await WANTED.execute(fly)
        await WANTED.process_group("worker").with_launch("w").execute(fly)
        there = {each.name: each for each in await fly.machines.list("web") if each.name.startswith("app")}
        await WANTED.with_image("shop:2").with_launch("v2").with_journal(path).execute(fly)
    planned = lines(path)[0]
    assert planned["before"] == [
        {
            "id": each.id,
            "name": name,
            "region": each.region,
            "state": "started",
            "version": each.current_version,
            "cordoned": False,
        }
        for name, each in there.items()
    ]
    assert re.fullmatch(
        r"web converges, rolling to shop:2@sha256:\w+, launch v2: run the release command, update 2", planned["plan"][0]
    )


async def test_a_failure_is_told_in_the_words_of_the_api(path: Path) -> None:
    refused = Fault(does="refuse", action="createMachine", region="lhr", status=400, body={"error": "no such image"})
    await deployed(path, faults=[refused])
    (ended,) = (line for line in lines(path) if line["what"] == "ended" and line["error"])
    assert "no such image" in ended["error"]
    assert ended["machine"] is None
    assert lines(path)[-1]["machines"]["app-lhr-1"] == "failed"
    assert not read_journal(path).ok


async def test_the_way_back_is_told_as_well(path: Path) -> None:
    sick = Fault(does="crash", name="app-lhr-1", image="*:2*", seconds=1)
    async with world(seed=1) as (emulator, fly):
        await WANTED.execute(fly)
        emulator.faults.add(sick)
        second = WANTED.with_image("shop:2").with_launch("v2").roll_back_on_failure()
        await second.with_journal(path).execute(fly)
    (undoing,) = (line for line in lines(path) if line["what"] == "undoing")
    assert undoing["plan"][0].startswith("web, undo of launch v2")
    assert read_journal(path).is_finished
    assert not read_journal(path).ok


# Secrets.


async def test_it_holds_no_secrets_and_names_where_they_were(path: Path) -> None:
    config = MachineConfig(
        image="shop:1",
        env={"A": "one-secret", "a-b": "two-secret"},
        files=[File(guest_path="/etc/key", raw_value="dGhyZWUtc2VjcmV0"), File(guest_path="/x", secret_name="X")],
        metadata={"owner": "me", "api_token": "four-secret"},
        services=[
            Service(
                internal_port=80,
                checks=[Check(type="http", port=80, path="/?token=five-secret", interval=10, timeout=2)],
            )
        ],
        extra={"new": {"thing": "six-secret"}, "amount": 3},
    )
    builder = WANTED.with_config(config).with_release_command("bin/x --token seven-secret").wait_for(None)
    _, text = await deployed(path, builder)
    assert "-secret" not in text
    assert "dGhyZWUtc2VjcmV0" not in text
    assert set(read_journal(path).redacted) == {
        "env.A",
        "env.a-b",
        "files[0].raw_value",
        "metadata.api_token",
        "services[0].checks[0].path",
        "new.thing",
        "release.command",
    }
    assert read_journal(path).redacted_names("env", "app") == {"A", "a-b"}
    assert "a value that may be secret" in text  # the release command, in the plan


@pytest.mark.parametrize("image", ["https://user:{}@r/x", "https://user:p@{}@r/x", "user:{}@r.example/x"])
@pytest.mark.parametrize("strategy", ["none", "rolling"])
async def test_no_line_repeats_what_is_withheld(path: Path, strategy: str, image: str) -> None:
    """Neither the plan, nor an error of the API, of this image and of the one that was there before."""
    wanted = DeployBuilder("web").to_regions("iad").wait_for(None)
    builder = wanted.rolling() if strategy == "rolling" else wanted
    echo = Fault(
        does="refuse",
        action="*Machine",
        status=400,
        body={"error": f"{image.format('hunter2secret')} and abcdefgh"},
        after=2,
    )
    async with world(seed=1, faults=[echo]) as (_, fly):
        await builder.with_launch("v1").with_image(image.format("hunter1secret")).execute(fly)
        report = await (
            builder.with_launch("v2")
            .with_image(image.format("hunter2secret"))
            .with_env(NAME="abcdefgh")
            .with_journal(path)
            .execute(fly)
        )
    assert lines(path)[0]["what"] == "planned"
    for secret in ("hunter1secret", "hunter2secret", "abcdefgh"):
        assert secret not in text_of(path)
    for secret in ("hunter1secret", "hunter2secret"):
        assert secret not in f"{report}{report.to_dict()}{report.to_html()}"


async def test_a_deploy_goes_on_only_at_the_api_where_it_began(path: Path) -> None:
    wanted = WANTED.with_config(MachineConfig(image="shop:1"))
    journal = JournalFile(str(path), API)
    journal.planned(wanted.deployment(), PLAN)
    journal.close()
    assert read_journal(path).api == API
    async with world(seed=1) as (emulator, fly):
        for ask in (DeployBuilder.execute, DeployBuilder.plan, DeployBuilder.undo, DeployBuilder.plan_undo):
            with pytest.raises(
                InvalidInput, match=f"a deploy at {API}, but this deploy goes to {emulator.url}: "
            ) as caught:
                await ask(DeployBuilder.resumed(path), fly)
            assert f"a client with base_url={API!r}" in str(caught.value)
            assert f"set FLY_FLAPS_BASE_URL={API}" in caught.value.for_command
        assert len(emulator.log) == 1


async def test_a_journal_that_names_no_api_goes_on_anywhere(path: Path) -> None:
    wanted = WANTED.with_config(MachineConfig(image="shop:1"))
    _, text = await deployed(path, wanted)
    first = json.loads(text.splitlines()[0])
    del first["api"]
    put(path, json.dumps(first) + "\n")
    async with world(seed=1) as (_, fly):
        assert (await DeployBuilder.resumed(path).execute(fly)).ok


async def test_withheld_values_have_to_be_given_again(path: Path) -> None:
    await deployed(path)
    with pytest.raises(
        InvalidInput, match=r"launch v1 has another config in the journal, which does not contain env.PASSWORD, env.M"
    ):
        DeployBuilder.resumed(path).deployment()
    with pytest.raises(InvalidInput, match=r"which does not contain"):
        DeployBuilder.resumed(path, env={"PASSWORD": "hunter3", "MODE": "fast"}).deployment()
    env = {"PASSWORD": "hunter2", "MODE": "fast", "HOME": "/root"}
    resumed = DeployBuilder.resumed(path, env=env).deployment()
    assert resumed == evolve(WANTED.deployment(), release=None, digest=resumed.digest)
    assert resumed.digest, "it goes on with the digest that it began with"
    assert DeployBuilder.resumed(path).with_env(PASSWORD="hunter2", MODE="fast").deployment() == resumed
    assert DeployBuilder.resumed(path).with_config(WANTED.config).deployment() == resumed


async def test_another_config_needs_another_launch(path: Path) -> None:
    await deployed(path, WANTED.with_config(MachineConfig(image="shop:1")))
    resumed = DeployBuilder.resumed(path).with_image("shop:2")
    with pytest.raises(InvalidInput, match="another config in the journal: use another launch name for this config"):
        resumed.deployment()
    assert resumed.with_launch("v2").deployment().config.image == "shop:2"


async def test_a_release_command_that_was_withheld_has_to_be_given_again(path: Path) -> None:
    wanted = WANTED.with_config(MachineConfig(image="shop:1")).with_release_command("bin/x --token abc")
    refused = Fault(does="refuse", action="createMachine", status=400, body={"error": "no"})
    await deployed(path, wanted, faults=[refused])
    assert not read_journal(path).is_released
    with pytest.raises(InvalidInput, match="the release command of launch v1 has not succeeded yet"):
        DeployBuilder.resumed(path).deployment()
    again = DeployBuilder.resumed(path).with_release_command("bin/x --token abc")
    assert evolve(again.deployment(), digest=None) == wanted.deployment()


# The file.


async def test_it_is_made_for_its_owner_alone(path: Path) -> None:
    before = os.umask(0)
    try:
        await deployed(path)
    finally:
        os.umask(before)
    assert mode_of(path) == 0o600


async def test_a_file_that_others_may_read_is_refused_before_anything_happens(path: Path) -> None:
    put(path, "", 0o640)
    async with world(seed=1) as (emulator, fly):
        with pytest.raises(InvalidInput, match=r"can be read by other users \(-rw-r-----\), .*: chmod 600 "):
            await WANTED.with_journal(path).execute(fly)
        assert len(emulator.log) == 1
    assert not text_of(path)


@pytest.mark.parametrize("said", ["dear diary\n", "{}\n", '{"what": 1}\n'])
async def test_a_file_that_is_no_journal_is_left_as_it_is(path: Path, said: str) -> None:
    put(path, said)
    with pytest.raises(InvalidInput, match="is not a journal, so nothing is written to it"):
        JournalFile(str(path), API)
    assert text_of(path) == said


async def test_a_place_that_cannot_be_written_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InvalidInput, match="cannot be written: No such file or directory"):
        JournalFile(str(tmp_path / "none" / "deploy.jsonl"), API)
    with pytest.raises(InvalidInput, match="cannot be written: Is a directory"):
        JournalFile(str(tmp_path), API)
    with pytest.raises(InvalidInput, match="is not a regular file, so it cannot hold a journal"):
        JournalFile("/dev/null", API)


async def test_two_deploys_at_once_cannot_write_one_journal(path: Path) -> None:
    first = JournalFile(str(path), API)
    first.undoing(PLAN)
    said = text_of(path)
    async with world(seed=1) as (emulator, fly):
        with pytest.raises(InvalidInput, match=r"deploy.jsonl is being written by another deploy: use another file"):
            await WANTED.with_journal(path).execute(fly)
        assert len(emulator.log) == 1
        assert text_of(path) == said
        first.close()
        assert (await WANTED.with_journal(path).execute(fly)).ok


def fill_the_disk(journal: JournalFile) -> None:
    assert journal._file is not None
    with Path("/dev/full").open("w") as full:
        os.dup2(full.fileno(), journal._file.fileno())


async def test_a_disk_that_fails_ends_the_journal_and_not_the_deploy(path: Path) -> None:
    told: list[dict[str, Any]] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, context: told.append(context))
    journal = JournalFile(str(path), API)
    fill_the_disk(journal)
    journal.undoing(PLAN)
    journal.undoing(PLAN)
    journal.close()
    assert [context["message"] for context in told] == [
        f"the journal {path} ends here and does not contain later steps"
    ]


async def test_without_room_for_the_plan_nothing_begins(path: Path) -> None:
    journal = JournalFile(str(path), API)
    fill_the_disk(journal)
    with pytest.raises(InvalidInput, match=f"the journal {path} cannot be written: No space left on device"):
        journal.planned(WANTED.deployment(), PLAN)
    assert text_of(path) == ""


async def test_a_line_nested_too_deep_is_none_of_a_journal(path: Path) -> None:
    put(path, '{"what": ' + "[" * 100_000 + "\n")
    with pytest.raises(InvalidInput, match="line 1: not a line of a journal"):
        read_journal(path)


async def test_a_line_that_was_not_written_to_its_end_is_none(path: Path) -> None:
    """The deployer was killed while it wrote; the next run goes on from the last whole line."""
    _, text = await deployed(path)
    whole = read_journal(path)
    put(path, text[:-20])
    assert read_journal(path) == evolve(whole, is_finished=False, ok=False)
    JournalFile(str(path), API).close()
    assert text_of(path) == text[: text[:-20].rindex("\n") + 1]


async def test_wherever_it_is_cut_it_tells_a_replay_or_that_there_is_none(path: Path) -> None:
    _, text = await deployed(path)
    begun = text.index("\n") + 1
    made = []
    for end in range(0, len(text), 7):
        put(path, text[:end])
        if end < begun:
            with pytest.raises(InvalidInput, match="contains no planned deploy, so there is nothing to continue"):
                read_journal(path)
        else:
            made.append(len(read_journal(path).made))
    assert made == sorted(made)
    assert made[-1] == 2


def test_a_file_that_is_not_there_or_is_no_journal_cannot_be_read(path: Path) -> None:
    with pytest.raises(InvalidInput, match="cannot be read: No such file"):
        read_journal(path)
    for said, place in (("{]\n", 1), ('{"what": "x"}\n[]\n', 2), ('{"what": "planned"}\n', 1), ("{}\n", 1)):
        path.write_text(said)
        with pytest.raises(InvalidInput, match=f"deploy.jsonl, line {place}: not a line of a journal"):
            read_journal(path)


def test_no_journal_is_one_too() -> None:
    journal = Journal()
    journal.planned(WANTED.deployment(), PLAN)
    journal.undoing(PLAN)
    journal.close()


# What is read.


async def test_the_replay_of_a_deploy(path: Path) -> None:
    async with world(seed=1) as (_, fly):
        await WANTED.with_journal(path).execute(fly)
        machines = {each.id for each in await fly.machines.list("web")}
    replay = read_journal(path)
    assert set(replay.made) == machines
    assert replay.is_released
    assert replay.is_finished
    assert replay.ok
    assert replay.before == ()
    assert replay.fingerprint == WANTED.deployment().fingerprint


async def test_several_runs_of_one_launch_are_one_replay(path: Path) -> None:
    """The second run finds what the first one made, and it is still the first one's beginning that counts."""
    refused = Fault(does="refuse", action="createMachine", region="lhr", status=400, body={"error": "no"})
    async with world(seed=1, faults=[refused]) as (emulator, fly):
        await WANTED.with_journal(path).execute(fly)
        assert not read_journal(path).ok
        emulator.faults.clear()
        resumed = DeployBuilder.resumed(path, env={"PASSWORD": "hunter2", "MODE": "fast"})
        assert resumed.deployment().release is None
        assert (await resumed.execute(fly)).ok
        machines = {each.id for each in await fly.machines.list("web")}
    replay = read_journal(path)
    assert set(replay.made) == machines
    assert replay.before == ()
    assert replay.ok
    assert sum(line["what"] == "planned" for line in lines(path)) == 2


async def test_the_last_deployment_counts(path: Path) -> None:
    async with world(seed=1) as (_, fly):
        await WANTED.with_journal(path).execute(fly)
        await WANTED.with_image("shop:2").with_launch("v2").with_journal(path).execute(fly)
    replay = read_journal(path)
    assert replay.spec.launch == "v2"
    assert [each.name for each in replay.before] == ["app-iad-1", "app-lhr-1"]
    assert replay.made == ()


async def test_a_deploy_that_was_cancelled_has_not_finished(path: Path) -> None:
    async with world(seed=1, boot=(30, 30)) as (_, fly):
        deploy = asyncio.ensure_future(WANTED.with_journal(path).execute(fly))
        await asyncio.sleep(10)
        deploy.cancel()
        with pytest.raises(asyncio.CancelledError):
            await deploy
    assert lines(path)[-1]["cancelled"]
    assert not read_journal(path).is_finished


LAUNCH = DeployBuilder("web").to_regions("iad", "lhr", "nrt").with_image("shop:1").with_launch("v1")
GROUP = LAUNCH.with_check("up", Check(type="tcp", port=80, interval="10s", timeout=2))
ALL = {
    "launch": LAUNCH,
    "counts": LAUNCH.count(2, lhr=5).require("60%").fallback("nearest").wait_for(None).roll_back_on_failure(),
    "fallback": LAUNCH.fallback("ewr", "ord").require("all").wait_for("started", timeout=12.5).smoke_check(3),
    "rolling": GROUP.rolling(max_unavailable="25%").count(lhr=0).waves(["iad"], ["lhr", "nrt"]).require(2),
    "rolling by count": GROUP.rolling(max_unavailable=1).require(1.0),
    "canary": GROUP.canary(0.5, soak=1, max_unavailable=2).retire_groups("old", "older").hedge(2),
    "bluegreen": GROUP.bluegreen(drain=0).process_group("web").visible_to_flyctl(),
    "immediate": GROUP.immediate().with_volume("data", "/data", size_gb=3, if_lost="fork").with_secrets_version(4),
    "release": GROUP.rolling().with_release_command(("a", "b c"), timeout=9, guest=Guest(cpus=2, memory_mb=512)),
    "config": LAUNCH.with_config(
        MachineConfig(
            image="shop:1",
            size="shared-cpu-2x",
            services=[Service(internal_port=80, autostop="suspend", extra={"later": 1})],
            metadata={"owner": "me"},
        )
    ).rolling(),
    "replace": GROUP.rolling().replace("checks"),
    "nulls": LAUNCH.with_config(
        structure({"image": "x", "auto_destroy": None, "Schedule": None, "restart": {"policy": "no"}}, MachineConfig)
    ),
}


@pytest.mark.parametrize("name", ALL)
async def test_a_deployment_comes_back_as_it_was(name: str, path: Path) -> None:
    wanted: DeploySpec = ALL[name].deployment()
    journal = JournalFile(str(path), API)
    journal.planned(wanted, PLAN)
    journal.close()
    replay = read_journal(path)
    assert replay.spec == wanted
    assert replay.redacted == ()
    resumed = DeployBuilder.resumed(path).deployment()
    assert resumed == wanted
    assert resumed.fingerprint == wanted.fingerprint
    assert list(resumed.counts) == list(wanted.counts)


# Journals of earlier versions.

JOURNALS = Path(__file__).parent / "journals"


def written_before() -> dict[str, str]:
    """The lines that an earlier version wrote for each of the deploys above."""
    return dict(zip(ALL, (JOURNALS / "planned.jsonl").read_text().splitlines(keepends=True), strict=True))


@pytest.mark.parametrize("name", ALL)
def test_what_an_earlier_version_wrote_is_read_and_written_alike(name: str, path: Path) -> None:
    put(path, written_before()[name])
    replay = read_journal(path)
    assert replay.spec == ALL[name].deployment()
    assert replay.fingerprint == replay.spec.fingerprint
    (line,) = lines(path)
    assert write_spec(replay.spec) == (line["deployment"], {})


def test_a_whole_deploy_that_an_earlier_version_wrote_is_taken_up() -> None:
    replay = read_journal(JOURNALS / "deployed.jsonl")
    assert (replay.spec.app, replay.spec.launch, replay.api) == ("web", "v1", "https://api.example")
    assert replay.spec.strategy == Canary(machines=Share(1), soak=2, max_unavailable=Share(0.33))
    assert replay.redacted == ("env.PASSWORD", "env.MODE", "release.command")
    assert [(each.name, each.state) for each in replay.before] == [("app-iad-1", "started"), ("app-lhr-1", "started")]
    assert replay.made == ()
    assert (replay.is_released, replay.is_finished, replay.ok) == (True, True, True)


def test_a_setting_that_a_journal_lacks_has_its_default_and_an_unknown_one_is_left_out(path: Path) -> None:
    line = json.loads(written_before()["canary"])
    line["deployment"] |= {"later": 1}
    for name in ("verify_stopped", "digest", "only_secrets", "hedge"):
        del line["deployment"][name]
    put(path, json.dumps(line) + "\n")
    assert read_journal(path).spec == evolve(ALL["canary"].deployment(), hedge=None)


@pytest.mark.parametrize(
    ("setting", "value"),
    [
        ("strategy", {"name": "unheard of"}),
        ("strategy", {"name": "canary", "soak": "long"}),
        ("requirement", {"regions": -1}),
        ("verify_stopped", "sometimes"),
        ("counts", {"iad": "two"}),
        ("waves", "iad"),
    ],
)
def test_a_setting_that_cannot_be_meant_is_no_line_of_a_journal(setting: str, value: Any, path: Path) -> None:
    line = json.loads(written_before()["canary"])
    line["deployment"][setting] = value
    put(path, json.dumps(line) + "\n")
    with pytest.raises(InvalidInput, match=r"deploy.jsonl, line 1: not a line of a journal: (?!ClassValidationError)"):
        read_journal(path)


def test_what_is_stated_of_a_volume_is_written_and_read_again() -> None:
    mounts = [Mount(volume="data", path="/data", size_gb=3, extend_threshold_percent=80, add_size_gb=5)]
    by_name = GROUP.rolling().with_config(MachineConfig(image="nginx", mounts=mounts))
    in_full = GROUP.rolling().with_volume("data", "/data", size_gb_limit=0, snapshot_retention=9)
    for builder in (by_name, in_full):
        spec = builder.deployment()
        data, _ = write_spec(spec)
        assert read_spec(json.loads(json.dumps(data))).volume == spec.volume
    assert write_spec(by_name.deployment())[0]["volume"] == {
        "name": "data",
        "path": "/data",
        "size_gb": 3,
        "if_lost": None,
        "extend_threshold_percent": 80,
        "add_size_gb": 5,
    }


# What each line adds.


def replayed(path: Path, *added: dict[str, Any], **changes: Any) -> JournalReplay:
    """Return what a journal says that holds a plan, and these lines after it."""
    planned = {**json.loads(written_before()["release"]), **changes}
    put(path, "".join(json.dumps(line) + "\n" for line in (planned, *added)))
    return read_journal(path)


def line(what: str, **facts: Any) -> dict[str, Any]:
    return {
        "what": what,
        "at": 1.0,
        "aim": "serve",
        "machine": "m1",
        "made": True,
        "phase": None,
        "error": None,
        **facts,
    }


def finished(**facts: Any) -> dict[str, Any]:
    return {"what": "finished", "at": 9.0, "ok": True, "cancelled": False, "strategy": "rolling", **facts}


PLANNED_AGAIN = json.loads(written_before()["release"])


def test_a_machine_is_made_once_and_only_if_the_deploy_made_it(path: Path) -> None:
    assert replayed(path, line("stepped"), line("stepped"), line("ended")).made == ("m1",)
    assert replayed(path, line("stepped", made=False)).made == ()
    assert replayed(path, line("stepped"), line("stepped", machine="m2")).made == ("m1", "m2")
    assert replayed(path, line("stepped", aim="end"), line("began")).made == ()


@pytest.mark.parametrize(
    ("facts", "is_released"),
    [
        ({"phase": "ended"}, True),
        ({"phase": "ended", "error": "its machine could not be destroyed"}, False),
        ({"phase": "failed"}, False),
        ({"phase": "ended", "aim": "serve"}, False),
    ],
)
def test_a_release_command_that_ended_well_is_not_run_again(
    facts: dict[str, Any], *, is_released: bool, path: Path
) -> None:
    assert replayed(path, line("ended", **{"aim": "end", **facts})).is_released is is_released
    assert not replayed(path, line("stepped", **{"aim": "end", **facts})).is_released
    # Nor is it where a later run of the same launch had none.
    again = line("ended", aim="end", phase="failed")
    assert replayed(path, line("ended", **{"aim": "end", **facts}), PLANNED_AGAIN, again).is_released is is_released


def test_what_a_rollback_does_is_not_of_the_launch(path: Path) -> None:
    undoing = {"what": "undoing", "at": 2.0, "launch": "v1", "plan": []}
    rolled_back = replayed(path, undoing, line("stepped"), line("ended", aim="end", phase="ended"))
    assert (rolled_back.made, rolled_back.is_released, rolled_back.is_undoing) == ((), False, True)
    assert not replayed(path, undoing, finished(strategy="undo")).is_finished
    assert replayed(path, undoing, finished(strategy="undo"), finished(ok=False)).is_finished
    after = replayed(path, undoing, finished(ok=False), PLANNED_AGAIN, line("stepped"))
    assert (after.made, after.is_undoing) == (("m1",), False)


def test_another_run_goes_on_with_the_same_launch_alone(path: Path) -> None:
    known = {"id": "m0", "name": "app-iad-1", "region": "iad", "state": "started"}
    run = (line("stepped"), finished())
    first = replayed(path, *run, before=[known])
    assert ([each.id for each in first.before], first.is_finished, first.ok) == (["m0"], True, True)
    again = replayed(path, *run, PLANNED_AGAIN, before=[known])
    assert ([each.id for each in again.before], again.made) == (["m0"], ("m1",))
    assert (again.is_finished, again.ok) == (False, False)
    for other in ({"api": "https://other.example"}, {"fingerprint": "0" * 16}):
        anew = replayed(path, *run, {**PLANNED_AGAIN, **other}, before=[known])
        assert (anew.before, anew.made) == ((), ())


def test_a_run_that_was_cancelled_or_failed_is_not_ok(path: Path) -> None:
    cancelled = replayed(path, finished(ok=False, cancelled=True))
    assert (cancelled.is_finished, cancelled.ok) == (False, False)
    failed = replayed(path, finished(ok=False))
    assert (failed.is_finished, failed.ok) == (True, False)


def test_lines_that_are_not_known_and_lines_before_a_plan_say_nothing(path: Path) -> None:
    assert replayed(path, {"what": "pondered"}) == replayed(path)
    put(path, json.dumps(line("stepped")) + "\n" + written_before()["release"])
    assert read_journal(path).made == ()


def test_a_journal_without_an_api_is_of_any(path: Path) -> None:
    replayed(path, api=None).check_api("https://other.example")
    replayed(path).check_api(API)
    with pytest.raises(
        InvalidInput,
        match=r"the journal is of a deploy at https://api\.example, but this deploy goes to .*: use another ",
    ):
        replayed(path).check_api("https://other.example")


def test_an_image_that_could_not_be_resolved_leaves_no_text_in_the_journal() -> None:
    spec = evolve(WANTED.deployment(), unresolved="the token abc is not allowed to see shop:1")
    written, _ = write_spec(spec)
    assert "abc" not in json.dumps(written)


def test_a_withheld_release_command_is_needed_again_only_until_it_has_ended_well(path: Path) -> None:
    ended = line("ended", aim="end", phase="ended")
    released = replayed(path, ended, withheld=["release.command"])
    released.check(evolve(released.spec, release=None))
    with pytest.raises(InvalidInput, match="the release command of launch v1 has not succeeded yet"):
        replayed(path, withheld=["release.command"]).check(evolve(released.spec, release=None))
