"""Runs the command line in this process and in virtual time."""

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from io import StringIO
from typing import Any

import pytest
from click.testing import CliRunner, Result

from flyasync.api.client import FlyClient
from flyasync.cli.main import command
from flyasync.cli.order import Order
from flyasync.deploy.builder import DeployBuilder
from flyasync.emulator import Emulator
from flyasync.testing import run_virtual

DEPLOY = ("deploy", "web", "--image", "nginx", "--launch", "v1")


def flyasync(*args: str) -> Result:
    return CliRunner().invoke(command, args, prog_name="flyasync", obj=run_virtual)


def deploy(*args: str) -> Result:
    return flyasync(*DEPLOY, *args)


def events(text: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in text.splitlines()]


def order(*regions: str, **options: Any) -> Order:
    return Order(builder=DeployBuilder("web").to_regions(*regions).with_image("nginx").with_launch("v1"), **options)


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


async def make(app: str) -> None:
    async with FlyClient() as fly:
        await fly.apps.create(app, org_slug="personal")


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
