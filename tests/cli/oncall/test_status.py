import asyncio
import json
from collections.abc import Sequence

import pytest
from attrs import evolve

from flyasync.api.client import FlyClient
from flyasync.cli.oncall.app_status import AppStatus, MachineStatus
from flyasync.cli.oncall.status_text import StatusOutput, sections
from flyasync.cli.oncall.watch import watch_display
from flyasync.emulator import Fault
from flyasync.models.config import MachineConfig
from flyasync.models.machine import Machine
from flyasync.testing import mock_machine
from tests.cli.driver import Shop, Terminal
from tests.cli.oncall.driver import until_interrupted

DEPLOY = ("deploy", "web", "--image", "nginx", "--region", "iad,lhr", "--strategy", "rolling", "--launch", "v1")


def fields(shop: Shop, kind: str) -> list[list[str]]:
    rows = (line.split("\t") for line in shop.said("status", "web").splitlines())
    return [row[1:] for row in rows if row[0] == kind]


def test_groups_machines_addresses_and_volumes_are_shown(shop: Shop) -> None:
    shop.said(*DEPLOY, "--group", "web")
    ip = shop.json("ips", "allocate", "web", "--type", "v6")["ip"]
    volume_id = shop.json("volumes", "create", "web", "data", "--region", "iad")["id"]
    assert fields(shop, "group") == [["web", "2", "2", "iad 1/1, lhr 1/1"]]
    first, second = fields(shop, "machine")
    assert [first[0], *first[2:5]] == ["web-iad-1", "web", "iad", "started"]
    assert second[0] == "web-lhr-1"
    assert first[7] == "v1"
    assert first[9].startswith("nginx@sha256:")
    assert len(first[9]) == len("nginx@sha256:") + 12
    assert fields(shop, "address")[0][:2] == [ip, "v6"]
    assert fields(shop, "volume")[0][:2] == [volume_id, "data"]
    assert fields(shop, "volume")[0][5] == "not attached"


def test_a_standby_that_is_stopped_and_a_scheduled_machine_are_not_missing() -> None:
    config = MachineConfig(image="nginx", metadata={"fly_process_group": "web"})
    standby = evolve(config, standbys=("148e",))
    cron = evolve(config, schedule="daily", metadata={"fly_process_group": "cron"})
    stopped = mock_machine(id="1", state="stopped", region="iad")
    machines = [evolve(mock_machine(id="148e", region="iad"), config=config), evolve(stopped, config=standby)]
    machines.append(evolve(mock_machine(id="2", state="stopped", region="iad"), config=cron))

    def groups(*those: Machine) -> list[Sequence[str]]:
        (section, *_) = sections(of(*those), in_a_terminal=False)
        return list(section.rows)

    assert groups(*machines) == [("cron", "0", "0", "1 scheduled"), ("web", "1", "1", "iad 1/1; 1 standby")]
    web = of(*machines).data["groups"][1]["regions"]
    assert web == [{"region": "iad", "machines": 1, "serving": 1, "others": 1}]
    # A standby that has taken over serves like any other machine.
    assert groups(machines[0], evolve(machines[1], state="started")) == [("web", "2", "2", "iad 2/2")]


def test_a_machine_in_trouble_comes_first_and_the_exit_code_is_0(shop: Shop) -> None:
    shop.run("--name", "a-fine-one")
    shop.emulator.faults.add(Fault(does="crash", exit_code=137, seconds=1))
    shop.run("--name", "z-crashing")
    shop.drive(asyncio.sleep(30))
    result = shop.ask("status", "web")
    assert result.exit_code == 0
    first = fields(shop, "machine")[0]
    assert first[0] == "z-crashing"
    assert "exit code 137" in first[6]


def test_a_failing_check_a_cordon_and_a_lost_host_are_named() -> None:
    failing = mock_machine(checks=[{"name": "up", "status": "critical", "output": "refused"}])
    assert list(MachineStatus.of(failing).remarks) == ["check up is critical"]
    assert list(MachineStatus.of(mock_machine(cordoned=True)).remarks) == ["cordoned"]
    assert list(MachineStatus.of(mock_machine(host_status="unreachable")).remarks) == ["host is unreachable"]


def test_a_machine_that_restarts_repeatedly_is_shown_with_the_time_of_its_last_exit() -> None:
    request = {"exit_event": {"exit_code": 137, "oom_killed": True, "restarting": True}, "restart_count": 4}
    events = [{"type": "exit", "timestamp": 1_767_614_400_000, "request": request}]
    (remark,) = MachineStatus.of(mock_machine(events=events)).remarks
    assert (
        remark == "restarts repeatedly, last at 2026-01-05T12:00:00Z: exit code 137, out of memory, restarted 4 times"
    )


def test_json_is_one_document_without_configs(shop: Shop) -> None:
    shop.said(*DEPLOY, "--env", "PASSWORD=hunter2hunter2")
    document = shop.json("status", "web")
    assert document["app"] == "web"
    assert document["groups"] == [
        {
            "group": "app",
            "regions": [
                {"region": "iad", "machines": 1, "serving": 1, "others": 0},
                {"region": "lhr", "machines": 1, "serving": 1, "others": 0},
            ],
        }
    ]
    assert {machine["launch"] for machine in document["machines"]} == {"v1"}
    assert document["addresses"] == document["volumes"] == []
    assert "hunter2" not in json.dumps(document)


def test_an_unknown_app_and_an_invalid_name_are_errors(shop: Shop) -> None:
    assert shop.ask("status", "nosuch").exit_code == 1
    assert shop.ask("status", "No Such").exit_code == 2


def test_a_part_that_cannot_be_read_is_named_and_the_exit_code_is_1(shop: Shop) -> None:
    shop.run()
    shop.emulator.faults.add(Fault(does="refuse", action="listVolumes", status=403, body={"error": "no"}))
    result = shop.ask("status", "web")
    assert result.exit_code == 1
    assert "the volumes could not be read: " in result.stderr
    assert result.stdout.count("machine\t") == 1
    assert shop.json("status", "web", exit_code=1)["volumes"] is None
    watched = until_interrupted(shop, "status", "web", "--watch", seconds=10)
    assert "the volumes could not be read: " in watched.stderr


def test_watch_writes_each_change_as_a_line(shop: Shop) -> None:
    machine_id = shop.run("--name", "one")

    async def stop(fly: FlyClient) -> None:
        await fly.machines.stop("web", machine_id)
        shop.emulator.faults.add(Fault(does="refuse", action="listMachines", status=503, after=10))

    result = until_interrupted(shop, "status", "web", "--watch", seconds=150, meanwhile=stop)
    assert result.exit_code == 130
    assert result.stdout.splitlines()[1].startswith(f"machine\tone\t{machine_id}\t")
    lines = "".join(result.stdout.splitlines()[2:])
    assert f"s  machine one ({machine_id}) in iad: state started → stop" in lines
    assert "the state could not be read" in result.stderr


def test_watch_as_json_has_the_state_then_the_changes(shop: Shop) -> None:
    machine_id = shop.run("--name", "one")

    async def cordon(fly: FlyClient) -> None:
        await fly.machines.cordon("web", machine_id)

    result = until_interrupted(shop, "status", "web", "--watch", "--json", seconds=20, meanwhile=cordon)
    first, *changed = map(json.loads, result.stdout.splitlines())
    assert first["event"] == "status"
    (change,) = changed
    assert change == {
        "event": "changed",
        "at": change["at"],
        "kind": "machine",
        "id": machine_id,
        "name": "one",
        "region": "iad",
        "before": {"serves": True, "cordoned": False},
        "after": {"serves": False, "cordoned": True},
    }
    assert 5 <= change["at"] < 8


def of(*machines: Machine) -> AppStatus:
    return AppStatus(
        app="web",
        machines=[MachineStatus.of(machine) for machine in machines],
        addresses=(),
        volumes=(),
        unread={},
        observed=machines,
    )


def drawn(*machines: Machine) -> str:
    out = Terminal()
    StatusOutput(of(*machines)).write(out)
    return out.getvalue()


def test_a_terminal_of_80_columns_shows_each_id_whole_and_trouble_in_red(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    monkeypatch.setenv("TERM", "xterm-256color")
    fine = mock_machine(id="1857156b526dd8", name="app-iad-1")
    failing = mock_machine(id="0857156b526dd8", name="app-iad-2", host_status="unreachable")
    text = drawn(failing, fine)
    assert "web: 2 machines in 1 region: 2 started; 1 in trouble" in text
    assert "1857156b526dd8" in text
    assert "0857156b526dd8" in text
    red = text.partition("\x1b[31m")[2].partition("\x1b[0m")[0]
    assert "app-iad-2" in red


def test_a_terminal_that_watches_keeps_the_last_state(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TERM", "xterm")
    unread = {"volumes": "not allowed"}
    status = AppStatus(app="web", machines=(), addresses=(), volumes=None, unread=unread, observed=())
    out = Terminal()
    screen = watch_display(out, as_json=False)
    screen.begin(status)
    screen.show(4.0, (), status)
    screen.close()
    assert "the volumes could not be read: not allowed" in out.getvalue().rpartition("4 s\x1b[0m")[2]
    assert "web: no machines are listed" in out.getvalue()


@pytest.mark.parametrize("seconds", [8, 120])
def test_a_list_that_lags_shows_no_change(shop: Shop, seconds: float) -> None:
    machine_id = shop.run("--name", "one")
    shop.drive(asyncio.sleep(30))

    # The seventh list and the later ones show the time before the stop, or even before the machine was created.
    shop.emulator.faults.add(Fault(does="stale", action="listMachines", seconds=seconds, after=6))

    async def stop(fly: FlyClient) -> None:
        await fly.machines.stop("web", machine_id)

    result = until_interrupted(shop, "status", "web", "--watch", "--json", seconds=90, meanwhile=stop)
    changes = [json.loads(line) for line in result.stdout.splitlines()[1:]]
    states = [(each["event"], each["after"]["state"]) for each in changes]
    assert states in ([("changed", "stopped")], [("changed", "stopping"), ("changed", "stopped")])


def test_new_and_destroyed_machines_are_shown(shop: Shop) -> None:
    one = shop.run("--name", "one")

    async def replace(fly: FlyClient) -> None:
        await fly.machines.create("web", MachineConfig(image="nginx"), name="two", region="lhr")
        await fly.machines.delete("web", one, force=True)

    result = until_interrupted(shop, "status", "web", "--watch", seconds=60, meanwhile=replace)
    lines = [line.partition(" s  ")[2] for line in result.stdout.splitlines()]
    assert any(line.startswith("machine two (") and ") in lhr: new, " in line for line in lines)
    assert f"machine one ({one}) in iad: gone" in lines
