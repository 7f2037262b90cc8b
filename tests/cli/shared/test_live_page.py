import pytest

from flyasync.cli.shared.live_page import has_display


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
