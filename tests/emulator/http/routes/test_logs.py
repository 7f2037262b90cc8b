import pytest

from flyasync.emulator import Fault
from tests.emulator.driver import Api, Said, at, serving

LOGS = "/api/v1/apps/web/logs"


def messages(said: Said) -> list[str]:
    return [line["attributes"]["message"] for line in said.body["data"]]


async def test_machines_log_their_events(api: Api) -> None:
    machine = await api.running(region="lhr")
    await api.act(machine, "stop")
    await api.reach(machine, "stopped")
    await api.ask("DELETE", at(machine))
    await api.reach(machine, "destroyed")
    said = await api.get(LOGS)
    assert messages(said) == [
        "Pulling container image",
        "Machine started",
        "machine exited with exit code 0, not restarting",
        "Machine destroyed",
    ]
    first = said.body["data"][0]["attributes"]
    assert (first["instance"], first["region"], first["level"]) == (machine["id"], "lhr", "info")
    assert first["meta"]["instance"] == machine["id"]


async def test_a_token_leads_on(api: Api) -> None:
    assert (await api.get(LOGS)).body == {"data": [], "meta": {"next_token": ""}}
    api.emulator.write_log("web", "one")
    token = (await api.get(f"{LOGS}?next_token=")).body["meta"]["next_token"]
    again = await api.get(f"{LOGS}?next_token={token}")
    assert (messages(again), again.body["meta"]["next_token"]) == ([], token)
    api.emulator.write_log("web", "two", level="warning")
    (line,) = (await api.get(f"{LOGS}?next_token={token}")).body["data"]
    assert (line["attributes"]["message"], line["attributes"]["level"]) == ("two", "warning")
    assert (await api.get(f"{LOGS}?next_token=x")).status == 400


async def test_a_page_holds_a_hundred_lines(api: Api) -> None:
    for number in range(150):
        api.emulator.write_log("web", str(number))
    said = await api.get(LOGS)
    assert messages(said) == [str(number) for number in range(100)]
    rest = await api.get(LOGS, params={"next_token": said.body["meta"]["next_token"]})
    assert len(messages(rest)) == 50


async def test_lines_are_filtered_by_machine_and_region(api: Api) -> None:
    here, there = await api.running(region="lhr"), await api.running(region="nrt")
    api.emulator.write_log("web", "hello", machine_id=here["id"])
    assert messages(await api.get(f"{LOGS}?instance={here['id']}"))[-1] == "hello"
    said = await api.get(f"{LOGS}?region=nrt")
    assert {line["attributes"]["instance"] for line in said.body["data"]} == {there["id"]}
    other = await api.get(f"{LOGS}?instance=nobody")
    assert (messages(other), other.body["meta"]["next_token"] != "") == ([], True)


async def test_a_crash_is_an_error() -> None:
    async with serving(limits=False, faults=[Fault(does="crash", exit_code=7, times=1)]) as api:
        await api.app()
        machine = await api.machine()
        await api.reach(machine, "starting")
        await api.reach(machine, "started")
        await api.wait(machine, "stopped", timeout=5)
        lines = (await api.get(LOGS)).body["data"]
        found = [one["attributes"] for one in lines if one["attributes"]["level"] == "error"]
        assert [one["message"] for one in found] == ["machine exited with exit code 7, restarting"]


async def test_an_unknown_app_has_no_log(api: Api) -> None:
    said = await api.get("/api/v1/apps/none/logs")
    assert (said.status, said.error) == (404, "app not found")


@pytest.mark.parametrize("path", [LOGS, "/graphql"])
async def test_no_limit_is_published_for_it(path: str) -> None:
    async with serving() as api:
        await api.app()
        method, body = ("POST", {"json": {"query": "{viewer{id}}"}}) if path == "/graphql" else ("GET", {})
        assert {(await api.ask(method, path, **body)).status for _ in range(10)} == {200}
