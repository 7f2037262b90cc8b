import queue
from threading import Event, current_thread

import pytest

from flyasync.cli.shared.live_page import has_display, open_aside


@pytest.mark.parametrize(
    ("environment", "platform", "expected"),
    [
        ({}, "linux", False),
        ({"DISPLAY": ":0"}, "linux", True),
        ({"WAYLAND_DISPLAY": "wayland-0"}, "linux", True),
        ({"DISPLAY": ""}, "linux", False),
        ({}, "darwin", True),
        ({}, "win32", True),
        ({"DISPLAY": "localhost:10.0", "SSH_CONNECTION": "::1 22 ::1 22"}, "linux", False),
        ({"SSH_CONNECTION": "::1 22 ::1 22"}, "darwin", False),
    ],
)
def test_a_browser_is_opened_only_where_one_can_see_it(
    environment: dict[str, str],
    platform: str,
    expected: bool,  # noqa: FBT001 - a row of the table
) -> None:
    assert has_display(environment, platform) is expected


def test_a_browser_that_stays_does_not_hold_up_the_command_or_its_end() -> None:
    opened: queue.Queue[tuple[str, bool]] = queue.Queue()
    is_closed = Event()

    def stay(url: str) -> None:
        opened.put((url, current_thread().daemon))
        is_closed.wait(60)

    open_aside(stay, "http://127.0.0.1:1/x/")
    assert opened.get(timeout=10) == ("http://127.0.0.1:1/x/", True)
    assert not is_closed.is_set()
    is_closed.set()
