"""Runs the command line in this process and in virtual time."""

import asyncio
import json
import re
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager, contextmanager
from io import BytesIO, StringIO
from typing import IO, Any

import pytest
from attrs import frozen
from click.testing import CliRunner, Result

from flyasync.api.client import FlyClient
from flyasync.cli.deploy.job import DeployJob
from flyasync.cli.main import command
from flyasync.deploy.builder import DeployBuilder
from flyasync.emulator import Emulator
from flyasync.testing import VirtualTimeLoop, run_virtual

DEPLOY = ("deploy", "web", "--image", "nginx", "--launch", "v1")


def flyasync(
    *args: str, drive: Callable[[Coroutine[Any, Any, Any]], Any] = run_virtual, answer: IO[bytes] | None = None
) -> Result:
    return CliRunner().invoke(command, args, prog_name="flyasync", obj=drive, input=answer)


def deploy(*args: str) -> Result:
    return flyasync(*DEPLOY, *args)


def events(text: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in text.splitlines()]


def deploy_job(*regions: str, **options: Any) -> DeployJob:
    return DeployJob(builder=DeployBuilder("web").to_regions(*regions).with_image("nginx").with_launch("v1"), **options)


def tags(text: str) -> str:
    """Give a text with images by their tags alone: without the digests that a deploy pins them to."""
    return re.sub(r"@sha256:[0-9a-f]{64}", "", text)


@asynccontextmanager
async def account(
    monkeypatch: pytest.MonkeyPatch, *, apps: tuple[str, ...] = ("web",), **options: Any
) -> AsyncIterator[Emulator]:
    """Serve an emulator that the environment points to, as if it were Fly.io."""
    async with Emulator(**options) as emulator:
        for name, value in emulator.environment().items():
            monkeypatch.setenv(name, value)
        for app in apps:
            await make(app)
        yield emulator


@contextmanager
def served(
    monkeypatch: pytest.MonkeyPatch, **options: Any
) -> Iterator[tuple[Emulator, Callable[[Coroutine[Any, Any, Any]], Any]]]:
    """Serve an account for whole command lines, driven one after the other."""
    with asyncio.Runner(loop_factory=VirtualTimeLoop) as runner:
        serving = account(monkeypatch, **options)
        emulator = runner.run(_entered(serving))
        try:
            yield emulator, runner.run
        finally:
            runner.run(emulator.stop())


async def _entered(serving: AbstractAsyncContextManager[Emulator]) -> Emulator:
    return await serving.__aenter__()


async def make(app: str) -> None:
    async with FlyClient() as fly:
        await fly.apps.create(app, org_slug="personal")


class Keyboard(BytesIO):
    """What somebody types at a terminal."""

    def isatty(self) -> bool:
        return True


@frozen
class Shop:
    """An account with the app `web`, and command lines that go there."""

    emulator: Emulator
    drive: Callable[[Coroutine[Any, Any, Any]], Any]

    def ask(self, *args: str, answer: IO[bytes] | None = None) -> Result:
        return flyasync(*args, drive=self.drive, answer=answer)

    def said(self, *args: str, answer: IO[bytes] | None = None) -> str:
        result = self.ask(*args, answer=answer)
        assert result.exit_code == 0, result.output
        return result.stdout

    def json(self, *args: str, exit_code: int = 0, answer: IO[bytes] | None = None) -> Any:
        result = self.ask(*args, "--json", answer=answer)
        assert result.exit_code == exit_code, result.output
        return json.loads(result.stdout)

    def run(self, *args: str, region: str = "iad") -> str:
        machine_id: str = self.json("machines", "run", "web", "nginx", "--region", region, *args)["id"]
        self.said("machines", "wait", "web", machine_id)
        return machine_id


class Terminal(StringIO):
    """A stream that says it is a terminal."""

    def __init__(self, encoding: str = "utf-8") -> None:
        super().__init__()
        self._encoding = encoding

    @property
    def encoding(self) -> str:  # type: ignore[override]
        return self._encoding

    def isatty(self) -> bool:
        return True
