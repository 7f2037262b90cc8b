"""What a command leaves of the process's signals is put back."""

import signal
from collections.abc import Iterator

import pytest


@pytest.fixture(autouse=True)
def the_signals_as_they_were() -> Iterator[None]:
    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)}
    yield
    for number, heard in before.items():
        signal.signal(number, heard)
