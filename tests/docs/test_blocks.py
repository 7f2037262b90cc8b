"""Every code block of the documentation works as it stands."""

import ast
import inspect
import json
import subprocess
import sys
import tomllib
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
import yaml
from aiohttp import ClientSession, web
from httpx import ASGITransport, AsyncClient

from flyasync import Emulator, FlyClient
from flyasync.testing import EmulatorThread, run_virtual
from tests.cli.driver import account, flyasync, served
from tests.docs.pages import PAGES, Block, blocks_of, pages_with
from tests.docs.shell import APPS, ONLY_READ, OTHERS, command_lines, masked, printed, read

TESTING = "docs/pages/guides/testing.md"
BACKEND = "docs/pages/guides/web-backend.md"
LANGUAGES = {"console", "json", "python", "sh", "text", "toml", "yaml"}
Namespace = dict[str, Any]


@pytest.mark.parametrize("page", PAGES)
def test_every_block_is_in_a_language_that_is_tested(page: str) -> None:
    fences = PAGES[page].read_text(encoding="utf-8").count("```")
    assert len(list(blocks_of(page, *LANGUAGES))) * 2 == fences


async def run_block(block: Block, namespace: Namespace) -> None:
    """Run a block on the running loop: what starts a loop of its own is awaited instead."""
    text = block.text.replace("asyncio.run(main())", "await main()").replace("run_virtual(main())", "await main()")
    code = compile("\n" * block.line + text, str(PAGES[block.page]), "exec", flags=ast.PyCF_ALLOW_TOP_LEVEL_AWAIT)
    result = eval(code, namespace)
    if inspect.isawaitable(result):
        await result


@asynccontextmanager
async def fly_account(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[tuple[Emulator, FlyClient]]:
    """Serve an emulator with some apps, which the environment points to, and a client of it."""
    async with account(monkeypatch, apps=(*APPS, "sandboxes"), seed=1) as emulator, FlyClient() as fly:
        yield emulator, fly


async def run_page(
    monkeypatch: pytest.MonkeyPatch, page: str, use: Callable[[Namespace], Awaitable[None]] | None = None
) -> None:
    """Run the Python blocks of a page one after the other, each with the names of those before it, and `fly`."""
    async with fly_account(monkeypatch) as (emulator, fly):
        namespace: Namespace = {"__name__": "docs"}
        for block in blocks_of(page, "python"):
            if block.title is None:
                namespace |= {"fly": fly, "emulator": emulator}
                await run_block(block, namespace)
                if use:
                    await use(namespace)


@pytest.mark.parametrize("page", [page for page in pages_with("python") if page != BACKEND])
def test_the_python_of_a_page_runs(
    page: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    run_virtual(run_page(monkeypatch, page))


def test_the_web_backends_serve(monkeypatch: pytest.MonkeyPatch) -> None:
    served_by: list[str] = []

    async def use(namespace: Namespace) -> None:
        if "app" not in namespace:
            runner = web.AppRunner(namespace["backend"]())
            await runner.setup()
            await web.TCPSite(runner, "127.0.0.1", 0).start()
            host, port = runner.addresses[0][:2]
            async with ClientSession(f"http://{host}:{port}") as session:
                answers = []
                for _ in range(2):
                    async with session.post("/users/alice") as reply:
                        assert reply.status == 200, await reply.text()
                        answers.append(await reply.json())
                assert answers[0] == answers[1]
            await runner.cleanup()
            served_by.append("aiohttp")
        else:
            app = namespace["app"]
            transport = ASGITransport(app=app)
            async with app.router.lifespan_context(app), AsyncClient(transport=transport, base_url="http://x") as http:
                greeting = await http.post("/users/alice/greeting")
                assert greeting.status_code == 200, greeting.text
                assert greeting.json()["output"] == "hello alice\n"
            served_by.append("fastapi")

    run_virtual(run_page(monkeypatch, BACKEND, use))
    assert served_by == ["aiohttp", "fastapi"]


RUNS = [
    (
        (
            "conftest.py",
            "test_backend.py",
            "test_in_virtual_time.py",
            "test_code_that_blocks.py",
            "test_one_emulator.py",
        ),
        "auto",
        14,
    ),
    (("test_strict.py", "test_anyio.py"), "strict", 2),
]


# As in pyproject.toml: a warning is an error, except that of FastAPI's TestClient about httpx.
COMMAND = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider"]
WARNINGS = ["-W", "error", "-W", "ignore:Using `httpx` with"]


def test_every_file_of_the_testing_guide_is_run() -> None:
    titles = {block.title for block in blocks_of(TESTING, "python") if block.title}
    assert titles == {name for names, _, _ in RUNS for name in names}


@pytest.mark.parametrize(("files", "mode", "passed"), RUNS)
def test_the_tests_of_the_testing_guide_pass(files: tuple[str, ...], mode: str, passed: int, tmp_path: Path) -> None:
    (settings,) = blocks_of(TESTING, "toml")
    (tmp_path / "pyproject.toml").write_text(settings.text.replace('"auto"', f'"{mode}"'))
    blocks = {block.title: block.text for block in blocks_of(TESTING, "python")}
    for name in files:
        (tmp_path / name).write_text(blocks[name])
    run = subprocess.run(
        [*COMMAND, *WARNINGS, str(tmp_path)],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert f"{passed} passed" in run.stdout, run.stdout + run.stderr


@pytest.mark.parametrize("page", pages_with("console"))
def test_the_commands_of_a_page_print_what_it_says(page: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    # Where the text of the command has changed: python -m tests.docs.shell
    blocks = list(blocks_of(page, "console"))
    for block, lines in zip(blocks, printed(monkeypatch, blocks, tmp_path), strict=True):
        assert masked(lines) == masked(block.text.splitlines()), str(block)


@pytest.mark.parametrize("page", pages_with("sh"))
def test_the_shell_commands_of_a_page_work(page: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)
    for name, text in FILES.items():
        (tmp_path / name).write_text(text)
    with served(monkeypatch, apps=APPS, seed=7) as (_, drive):
        for block in blocks_of(page, "sh"):
            for first, *words in command_lines(block.text):
                name = first.removeprefix(".venv/bin/")
                if name != "flyasync":
                    assert name in OTHERS, f"{block}: {first}"
                elif any(word in ONLY_READ for word in words):
                    read(words)
                else:
                    result = flyasync(*words, drive=drive)
                    assert result.exit_code == 0, f"{block}: {words}\n{result.output}"


FILES = {
    "customers.csv": "app,image,regions\nshop-1,registry.fly.io/shop:v7,iad lhr\nshop-2,registry.fly.io/shop:v7,nrt\n"
}


@pytest.mark.parametrize("page", pages_with("yaml", "toml", "json"))
def test_what_is_data_can_be_read(page: str) -> None:
    for block in blocks_of(page, "yaml", "toml", "json"):
        readers: dict[str, Callable[[str], Any]] = {
            "yaml": yaml.safe_load,
            "toml": tomllib.loads,
            "json": json.loads,
        }
        assert readers[block.language](block.text), str(block)


def test_the_container_serves_and_is_healthy() -> None:
    (block,) = (block for block in blocks_of("docs/pages/emulator.md", "text") if block.title == "Containerfile")
    lines = dict(line.partition(" ")[::2] for line in block.text.splitlines())
    (compose,) = blocks_of("docs/pages/emulator.md", "yaml")
    services = yaml.safe_load(compose.text)["services"]
    program, *words = json.loads(lines["ENTRYPOINT"])
    assert program == "flyasync"
    read([*words, *services["emulator"]["command"]])
    python, flag, check = json.loads(lines["HEALTHCHECK"].partition(" CMD ")[2])
    assert (python, flag) == ("python", "-c")
    host = words[words.index("--allow-host") + 1]
    assert services["emulator"]["networks"]["default"]["aliases"] == [host]
    with EmulatorThread(Emulator(host="0.0.0.0", allow_hosts=[host])) as emulator:
        exec(check.replace("http://127.0.0.1:4280", emulator.url), {})
        address, token = (services["tests"]["environment"][name] for name in ("FLY_FLAPS_BASE_URL", "FLY_API_TOKEN"))
        assert token == emulator.token
        assert FlyClient(token, base_url=address).base_url == address == f"http://{host}:{lines['EXPOSE']}"
        exec(check.replace("http://127.0.0.1:4280", emulator.url), {})


def test_the_workflow_deploys_with_commands_that_work() -> None:
    (block,) = blocks_of("docs/pages/guides/github-actions.md", "yaml")
    steps = yaml.safe_load(block.text)["jobs"]["deploy"]["steps"]
    commands = [words for step in steps for words in command_lines(step.get("run", "")) if words[0] == "flyasync"]
    assert len(commands) == 2
    for _, *words in commands:
        read(words)
