import asyncio

import pytest

from flyasync.api.client import FlyClient
from flyasync.cli.machines.inspect import ExecOutput
from flyasync.emulator import Fault
from flyasync.models.machine_results import ExecResult
from tests.cli.driver import Keyboard, Shop


def states(shop: Shop) -> dict[str, str]:
    return {machine.id: machine.state for machine in shop.emulator.world.machines.values()}


def test_a_machine_that_serves_in_an_app_without_an_address_is_told(shop: Shop) -> None:
    run = ("machines", "run", "web", "nginx", "--region", "iad", "--port", "80")
    assert "web has no IP address" in shop.ask(*run).stderr
    shop.said("ips", "allocate", "web", "--type", "shared_v4")
    assert "no IP address" not in shop.ask(*run).stderr


def test_a_machine_is_run_listed_and_shown(shop: Shop) -> None:
    options = ("--name", "one", "--size", "shared-cpu-2x", "--env", "PASSWORD=hunter2", "--metadata", "role=web")
    machine_id = shop.run(*options, "--port", "8080")
    (line,) = shop.said("machines", "list", "web").splitlines()
    assert line.split("\t")[:5] == [machine_id, "one", "started", "iad", "nginx"]
    run_until_signalled = shop.said("machines", "show", "web", machine_id)
    assert "env\tPASSWORD\n" in run_until_signalled
    assert "guest\tshared 2 CPU, 512 MB\n" in run_until_signalled
    assert "hunter2" not in run_until_signalled
    config = shop.json("machines", "show", "web", machine_id)["config"]
    assert config["env"] == {"PASSWORD": "hunter2"}
    assert [port["port"] for port in config["services"][0]["ports"]] == [80, 443]


def test_a_machine_is_run_on_a_free_volume_of_a_name_or_on_the_one_with_an_id(shop: Shop) -> None:
    made = [shop.json("volumes", "create", "web", "data", "--region", "iad")["id"] for _ in range(2)]
    run = ("machines", "run", "web", "nginx", "--region", "iad")
    by_name = shop.json(*run, "--volume", "data:/data")
    assert by_name["name"].startswith("web-")
    found = by_name["config"]["mounts"][0]["volume"]
    (other,) = {*made} - {found}
    by_id = shop.json(*run, "--volume", f"{other}:/data", "--name", "two")
    assert (by_id["name"], by_id["config"]["mounts"][0]["volume"]) == ("two", other)
    result = shop.ask(*run, "--volume", "data:/data")
    assert (result.exit_code, result.stdout) == (1, "")
    assert "all 2 are taken. Create one with: flyasync volumes create web data --region iad" in result.stderr
    assert len(states(shop)) == len(shop.json("volumes", "list", "web")) == 2
    for wrong in ("data", "data:data", ":/data"):
        assert shop.ask(*run, "--volume", wrong).exit_code == 2


def test_a_list_is_narrowed(shop: Shop) -> None:
    near, far = shop.run("--metadata", "role=web"), shop.run(region="lhr")
    shop.said("machines", "stop", "web", near)
    shop.said("machines", "wait", "web", near, "--state", "stopped")
    for option, expected in (("--region=lhr", far), ("--state=stopped", near), ("--metadata=role=web", near)):
        assert [machine["id"] for machine in shop.json("machines", "list", "web", option)] == [expected]


def test_actions_go_to_several_machines_at_once(shop: Shop) -> None:
    ids = [shop.run(), shop.run()]
    assert shop.said("machines", "stop", "web", *ids) == "".join(f"{one}\tstop\tok\n" for one in ids)
    for one in ids:
        assert shop.said("machines", "wait", "web", one, "--state", "stopped") == f"{one} is stopped\n"
    shop.drive(asyncio.sleep(10))  # for a moment a stopped machine refuses to start
    shop.said("machines", "start", "web", *ids)
    for one in ids:
        shop.said("machines", "wait", "web", one, "--state", "healthy")
    assert set(states(shop).values()) == {"started"}


@pytest.mark.parametrize("action", ["restart", "suspend", "cordon", "uncordon"])
def test_each_action_is_there(shop: Shop, action: str) -> None:
    machine_id = shop.run()
    told = shop.json("machines", action, "web", machine_id)
    assert told == [{"machine": machine_id, "action": action, "ok": True}]


def test_a_machine_that_starts_already_is_no_failure(shop: Shop) -> None:
    machine_id = shop.run()
    shop.emulator.faults.add(
        Fault(does="refuse", action="startMachine", times=1, status=409, body={"error": "still attempting to start"})
    )
    assert shop.said("machines", "start", "web", machine_id).endswith("\tok\n")


def test_one_that_refuses_keeps_no_other_from_it(shop: Shop) -> None:
    machine_id = shop.run()
    told = shop.json("machines", "stop", "web", "00000000000000", machine_id, exit_code=1)
    assert [one["ok"] for one in told] == [False, True]
    assert told[0]["kind"] == "NotFound"
    assert "\tfailed: machines.stop" in shop.ask("machines", "stop", "web", "00000000000000").stdout


def test_destroying_asks_first(shop: Shop) -> None:
    machine_id = shop.run()
    assert shop.ask("machines", "destroy", "web", machine_id).exit_code == 2
    result = shop.ask("machines", "destroy", "web", machine_id, "--force", answer=Keyboard(b"n\n"))
    assert (result.exit_code, states(shop)[machine_id]) == (1, "started")
    assert f"Destroy {machine_id} of web?" in result.stderr
    shop.said("machines", "destroy", "web", machine_id, "--force", "--yes")
    shop.said("machines", "wait", "web", machine_id, "--state", "destroyed")


def test_a_wait_that_cannot_succeed_exits_with_1(shop: Shop) -> None:
    machine_id = shop.run()
    result = shop.ask("machines", "wait", "web", machine_id, "--state", "stopped", "--timeout", "5")
    assert result.exit_code == 1
    assert "is started, not stopped" in result.stderr
    assert shop.json("machines", "wait", "web", machine_id) == {"machine": machine_id, "state": "started"}


def test_exec_passes_on_what_a_command_says_and_how_it_ends(shop: Shop) -> None:
    machine_id = shop.run()
    result = shop.ask("machines", "exec", "web", machine_id, "--", "echo", "--json", "hello")
    assert (result.exit_code, result.stdout) == (0, "--json hello\n")
    result = shop.ask("machines", "exec", "web", machine_id, "--", "dance", "-l")
    assert (result.exit_code, result.stdout) == (127, "")
    assert result.stderr.endswith("dance: command not found\n")
    result = shop.ask("machines", "exec", "web", machine_id, "--json", "--", "false")
    assert result.exit_code == 1
    assert '"exit_code": 1' in result.stdout


def test_a_command_that_a_signal_ended_counts_as_in_a_shell() -> None:
    assert ExecOutput(ExecResult(exit_code=0, exit_signal=9)).code == 137
    assert ExecOutput(ExecResult(exit_signal=-1)).code == 0


def test_processes_events_and_versions_are_listed(shop: Shop) -> None:
    machine_id = shop.run("--port", "8080")
    assert "tcp [::]:8080" in shop.said("machines", "ps", "web", machine_id, "--sort-by", "rss", "--order", "desc")
    events = shop.said("machines", "events", "web", machine_id, "--limit", "5").splitlines()
    assert {line.split("\t")[1] for line in events} >= {"launch", "start"}
    assert len(shop.said("machines", "versions", "web", machine_id).splitlines()) == 1
    assert shop.json("machines", "versions", "web", machine_id)[0]["user_config"]["image"] == "nginx"


def test_a_signal_is_sent(shop: Shop) -> None:
    machine_id = shop.run()
    assert shop.said("machines", "signal", "web", machine_id, "SIGTERM") == f"sent SIGTERM to {machine_id}\n"


def test_a_lease_is_shown_and_cleared(shop: Shop) -> None:
    machine_id = shop.json("machines", "run", "web", "nginx", "--region", "iad")["id"]
    assert shop.ask("machines", "lease", "show", "web", machine_id).exit_code == 1
    nonce = shop.drive(_leased(machine_id))
    run_until_signalled = shop.said("machines", "lease", "show", "web", machine_id)
    assert "description\tdeploying\n" in run_until_signalled
    assert nonce not in run_until_signalled
    assert shop.json("machines", "lease", "show", "web", machine_id)["nonce"] == nonce
    assert shop.ask("machines", "lease", "clear", "web", machine_id).exit_code == 2
    assert shop.json("machines", "lease", "clear", "web", machine_id, "--yes")["cleared"]
    assert shop.ask("machines", "lease", "show", "web", machine_id).exit_code == 1


async def _leased(machine_id: str) -> str:
    async with FlyClient() as fly:
        return (await fly.leases.acquire("web", machine_id, ttl=300, description="deploying")).nonce
