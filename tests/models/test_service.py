"""What can be read from a service."""

import pytest

from flyasync.models.service import Port


@pytest.mark.parametrize(
    ("port", "expected"),
    [
        (Port(port=443), (443, 443)),
        (Port(start_port=8000, end_port=8010), (8000, 8010)),
        (Port(port=443, start_port=1, end_port=2), (443, 443)),
        (Port(port=0), (0, 0)),
        (Port(start_port=8000), None),
        (Port(end_port=8010), None),
        (Port(handlers=["http"]), None),
    ],
)
def test_a_port_is_a_range_of_one(port: Port, expected: tuple[int, int] | None) -> None:
    assert port.port_range == expected
