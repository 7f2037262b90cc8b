"""What a command leaves of the process's signals is put back; an account to ask."""

import signal
from collections.abc import Iterator

import pytest

from tests.cli.driver import Shop, served


@pytest.fixture(autouse=True)
def the_signals_as_they_were() -> Iterator[None]:
    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)}
    yield
    for number, heard in before.items():
        signal.signal(number, heard)


@pytest.fixture
def shop(monkeypatch: pytest.MonkeyPatch) -> Iterator[Shop]:
    with served(monkeypatch) as (emulator, drive):
        yield Shop(emulator, drive)
