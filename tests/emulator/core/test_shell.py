"""Commands that a machine runs, alone and in a shell."""

import asyncio
import json
from base64 import b64encode
from collections.abc import Mapping
from typing import Any

import pytest

from flyasync.emulator import Output
from flyasync.emulator.core.shell import run
from tests.emulator.driver import Api, at, serving

HELLO = b64encode(b"hello").decode()


def said(script: str, *, stdin: str = "", scripted: Mapping[str, Output] | None = None) -> tuple[int, str, str]:
    output = run(
        scripted or {},
        ["/bin/sh", "-c", script],
        files={"/etc/motd": b"welcome\n"},
        environment={"NAME": "a  b", "LOOP": 'sh -c "$LOOP"'},
        stdin=stdin,
    )
    return output.exit_code, output.stdout, output.stderr


@pytest.mark.parametrize(
    ("script", "expected"),
    [
        ("echo hi", (0, "hi\n", "")),
        ("/bin/echo -n hi", (0, "hi", "")),
        ("", (0, "", "")),
        ("true", (0, "", "")),
        ("mv /etc/motd /m && cat /m; cat /etc/motd", (1, "welcome\n", "cat: /etc/motd: No such file or directory\n")),
        ("mv /none /m", (1, "", "mv: /none: No such file or directory\n")),
        ("mv /etc/motd", (1, "", "mv: only one file and its new name are emulated\n")),
        ("test -f /etc/motd && echo there", (0, "there\n", "")),
        ("test -r /none || echo none", (0, "none\n", "")),
        ("test 1 -eq 1", (2, "", "test: only -e, -f and -r are emulated\n")),
        ("dd if=/etc/motd bs=2 skip=1 count=2", (0, "lcom", "")),
        ("dd if=/etc/motd bs=4 skip=1", (0, "ome\n", "")),
        ("cat /etc/motd | dd bs=3 count=1", (0, "wel", "")),
        ("dd if=/none", (1, "", "dd: /none: No such file or directory\n")),
        ("dd if=/etc/motd of=/m", (1, "", "dd: only if, bs, skip and count are emulated\n")),
        ("false", (1, "", "")),
        ("exit 7", (7, "", "")),
        ("exit 300", (44, "", "")),
        ("false; exit", (1, "", "")),
        ("exit 3; echo never", (3, "", "")),
        ("exit 3 | cat; echo on", (0, "on\n", "")),
        ("echo a; echo b\necho c", (0, "a\nb\nc\n", "")),
        ("false && echo a || echo b", (0, "b\n", "")),
        ("true && echo a || echo b", (0, "a\n", "")),
        ("false || exit 4", (4, "", "")),
        ("echo a &&\n  echo b # and no more", (0, "a\nb\n", "")),
        ("# nothing", (0, "", "")),
        ("rm -rf /", (127, "", "rm: command not found\n")),
        ("echo 'a  b' \"c  d\" e\\ f", (0, "a  b c  d e f\n", "")),
        ("echo $NAME '$NAME' \"$NAME\" ${NAME}x \\$NAME", (0, "a  b $NAME a  b a  bx $NAME\n", "")),
        ('echo "a\\"b\\n\\$"', (0, 'a"b\\n$\n', "")),
        ("X=1; echo $X$NONE; sh -c 'echo [$X]'", (0, "1\n[]\n", "")),
        ("false; echo $?", (0, "1\n", "")),
        ("cat /etc/motd", (0, "welcome\n", "")),
        ("cat /none", (1, "", "cat: /none: No such file or directory\n")),
        ("cat /none 2>/dev/null || echo gone", (0, "gone\n", "")),
        ("cat /none 2>&1", (1, "cat: /none: No such file or directory\n", "")),
        ("echo oops >&2", (0, "", "oops\n")),
        ("cat /none >/tmp/log 2>&1; cat /tmp/log", (0, "cat: /none: No such file or directory\n", "")),
        ("echo a > f; echo b >> f; cat ./f", (0, "a\nb\n", "")),
        ("echo a >/f; echo b >/f; cat /f", (0, "b\n", "")),
        ("cat < /etc/motd", (0, "welcome\n", "")),
        ("cat < /none && echo a", (1, "", "sh: /none: No such file or directory\n")),
        ("cat", (0, "from outside", "")),
        ("echo hello | cat | base64", (0, "aGVsbG8K\n", "")),
        (f"echo {HELLO} | base64 -d > /tmp/x && cat /tmp/x", (0, "hello", "")),
        ("base64 -w0 /etc/motd", (0, "d2VsY29tZQo=", "")),
        ("base64 -w 4 /etc/motd", (0, "d2Vs\nY29t\nZQo=\n", "")),
        ("base64 /none", (1, "", "base64: /none: No such file or directory\n")),
        ("echo '!' | base64 -d", (1, "", "base64: invalid input\n")),
        ("exit 3 | true", (0, "", "")),
        ("true | exit 3", (3, "", "")),
        ("bash -lc 'exit 5'", (5, "", "")),
        ("bash -euo pipefail -c 'echo a; false; echo b'", (1, "a\n", "")),
        ("bash --login -c 'echo a' -c", (0, "a\n", "")),
        ("sh -ec 'false && true; false || true; echo a; false && true'", (1, "a\n", "")),
        ("set -eu; true; false; echo b", (1, "", "")),
        ("set -o pipefail; false; echo b", (0, "b\n", "")),
        ("sh -c 'echo $0 $1 ${2} $# [$3]' a 'b  c' d", (0, "a b  c d 2 []\n", "")),
        ("sh -c 'echo $0 $#'", (0, "sh 0\n", "")),
        ("sh -c '\"$@\" $1' _ echo 'a  b'", (0, "a  b echo\n", "")),
        ("echo $?", (0, "0\n", "")),
        ("echo a\\\nb", (0, "ab\n", "")),
        ("sleep soon", (1, "", "sleep: invalid time interval 'soon'\n")),
        ("sh script", (2, "", "sh: only -c is emulated\n")),
        ("echo 'open", (2, "", 'sh: syntax error: unexpected "\'open"\n')),
        ("echo $(date)", (2, "", "sh: syntax error: unexpected '(date)'\n")),
        ("echo a &", (2, "", "sh: syntax error: unexpected '&'\n")),
        ("| cat", (2, "", "sh: syntax error: unexpected '|'\n")),
        ("echo a >", (2, "", "sh: syntax error: unexpected ';'\n")),
        ("echo a | ; true", (2, "", "sh: syntax error: unexpected end of command\n")),
        ('sh -c "$LOOP"', (2, "", "sh: shells are nested too deeply\n")),
        (f"exit {'9' * 5000}", (2, "", "")),
    ],
)
def test_a_script_does_what_a_shell_does(script: str, expected: tuple[int, str, str]) -> None:
    assert said(script, stdin="from outside") == expected


def test_scripted_commands_count_in_a_script_too() -> None:
    migrate = Output(stdout="half", stderr="locked\n", exit_code=3)
    assert said("bin/migrate up || echo failed: $?", scripted={"bin/migrate*": migrate}) == (
        0,
        "halffailed: 3\n",
        "locked\n",
    )
    assert said("echo hi", scripted={"/bin/sh -c 'echo hi'": Output(exit_code=9)})[0] == 9


async def executed(api: Api, machine: dict[str, Any], script: str, **body: Any) -> tuple[int, str]:
    said = await api.act(machine, "exec", {"command": ["/bin/sh", "-c", script], **body})
    assert said.status == 200, said
    return said.body["exit_code"], said.body["stdout"]


async def test_the_files_of_the_config_are_there(api: Api) -> None:
    await api.post("/v1/apps/web/secrets/KEY", {"value": b64encode(b"s3cret").decode()})
    files = [
        {"guest_path": "/etc/app.conf", "raw_value": HELLO},
        {"guest_path": "/etc/key", "secret_name": "KEY"},
        {"guest_path": "/etc/none", "secret_name": "NONE"},
    ]
    machine = await api.running(region="lhr", config={"files": files, "env": {"MODE": "test"}})
    assert await executed(api, machine, "cat /etc/app.conf /etc/key /etc/none") == (0, "hellos3cret")
    assert await executed(api, machine, "echo $MODE $FLY_REGION $FLY_APP_NAME") == (0, "test lhr web\n")
    assert await executed(api, machine, "cat", stdin="typed") == (0, "typed")


async def test_files_stay_until_the_next_boot_and_on_a_volume(api: Api) -> None:
    volume = (await api.post("/v1/apps/web/volumes", {"name": "data", "region": "iad"})).body["id"]
    files = [{"guest_path": "/etc/app.conf", "raw_value": HELLO}]
    machine = await api.running(config={"files": files, "mounts": [{"volume": volume, "path": "/data"}]})
    other = await api.running()
    await executed(api, machine, "echo 1 > /data/a; echo 2 > /tmp/a; echo 3 > /etc/app.conf; echo 4 > /database")
    assert await executed(api, machine, "cat /data/a /tmp/a /etc/app.conf") == (0, "1\n2\n3\n")
    assert (await executed(api, other, "cat /data/a"))[0] == 1
    await api.act(machine, "suspend")
    await api.reach(machine, "suspended")
    await api.act(machine, "start")
    await api.reach(machine, "started")
    assert await executed(api, machine, "cat /tmp/a") == (0, "2\n")
    await api.act(machine, "restart")
    await api.reach(machine, "started")
    assert await executed(api, machine, "cat /data/a /etc/app.conf") == (0, "1\nhello")
    assert (await executed(api, machine, "cat /tmp/a"))[0] == (await executed(api, machine, "cat /database"))[0] == 1


async def test_a_file_that_is_not_base64_is_refused(api: Api) -> None:
    config = {"image": "nginx", "files": [{"guest_path": "/a", "raw_value": "not base64"}]}
    said = await api.post("/v1/apps/web/machines", {"config": config})
    assert (said.status, said.error) == (400, "config.files: illegal base64 data in '/a'")


async def test_files_outlast_a_suspend_and_go_with_a_cold_boot(api: Api) -> None:
    machine = await api.running()
    await executed(api, machine, "echo kept > /note")
    for action, state, left in (("suspend", "suspended", (0, "kept\n")), ("stop", "stopped", (1, ""))):
        await api.act(machine, action)
        await api.reach(machine, state)
        await asyncio.sleep(2)
        await api.act(machine, "start")
        await api.reach(machine, "started")
        assert await executed(api, machine, "cat /note") == left


async def test_a_short_sleep_takes_its_time_too(api: Api) -> None:
    machine = await api.running()
    before = asyncio.get_running_loop().time()
    assert (await api.act(machine, "exec", {"cmd": "sleep 0.25"})).body["exit_code"] == 0
    assert asyncio.get_running_loop().time() - before == pytest.approx(0.25, abs=0.02)


async def test_sleep_takes_its_time_up_to_the_timeout() -> None:
    async with serving(limits=False, boot=(1, 1), speed=2) as api:
        await api.app()
        machine, now = await api.running(), asyncio.get_running_loop().time
        before = now()
        assert await executed(api, machine, "sleep 10; sleep 0.5m && echo done", timeout=60) == (0, "done\n")
        assert now() - before == pytest.approx(20, abs=0.01)
        late = await api.act(machine, "exec", {"cmd": "sleep 999999999", "timeout": 5})
        assert (late.status, late.error) == (408, "deadline_exceeded: command ran for more than 5 s")
        assert now() - before == pytest.approx(22.5, abs=0.01)


async def test_outputs_are_scripted_by_control(api: Api) -> None:
    machine = await api.running()
    scripts = [{"command": "bin/migrate*", "exit_code": 3}, {"command": "ls", "stdout": "a\n"}]
    assert (await api.post("/_emulator/commands", scripts)).status == 204
    assert (await api.post("/_emulator/commands", {"command": "ls", "stdout": "b\n"})).status == 204
    assert await executed(api, machine, "ls; bin/migrate up") == (3, "b\n")
    shown = (await api.get("/_emulator/commands")).body["commands"]
    assert [(one["command"], one["exit_code"], one["stdout"]) for one in shown] == [
        ("bin/migrate*", 3, ""),
        ("ls", 0, "b\n"),
    ]
    assert (await api.ask("DELETE", "/_emulator/commands")).status == 204
    assert (await executed(api, machine, "ls"))[0] == 127


@pytest.mark.parametrize(
    "script", [5, {}, {"command": ""}, {"command": 5}, {"command": "a", "stdout": 5}, {"command": "a", "code": 1}]
)
async def test_a_script_must_make_sense(api: Api, script: Any) -> None:
    assert (await api.post("/_emulator/commands", script)).status == 400
    assert (await api.post("/_emulator/commands", data=json.dumps([script]).encode())).status == 400
    assert (await api.get("/_emulator/commands")).body == {"commands": []}


async def test_a_shell_command_of_a_machine_runs_until_it_is_stopped(api: Api) -> None:
    machine = await api.running(config={"init": {"exec": ["/bin/sh", "-c", "exec gunicorn web"]}})
    await asyncio.sleep(60)
    assert (await api.get(at(machine))).body["state"] == "started"
