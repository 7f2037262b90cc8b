"""A fly.toml, and the files that it names, on the disk."""

import base64
from pathlib import Path

import pytest

from flyasync import InvalidInput, read_fly_toml

IMAGE = '[build]\nimage = "nginx"\n'


def test_a_file_and_what_it_names_are_read_from_the_disk(tmp_path: Path) -> None:
    (tmp_path / "conf").mkdir()
    (tmp_path / "conf" / "app.ini").write_bytes(b"\xffa=1")
    text = '[[files]]\nguest_path = "/etc/app.ini"\nlocal_path = "conf/app.ini"'
    (tmp_path / "fly.toml").write_text(f"{text}\n{IMAGE}")
    for path in (tmp_path / "fly.toml", str(tmp_path / "fly.toml")):
        (file,) = read_fly_toml(path).files or ()
        assert base64.b64decode(file.raw_value or "") == b"\xffa=1"
    assert read_fly_toml(tmp_path / "fly.toml", "app", image="other").image == "other"


def test_a_file_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    with pytest.raises(InvalidInput, match=r"fly\.toml cannot be read: No such file"):
        read_fly_toml(tmp_path / "fly.toml")
    (tmp_path / "fly.toml").write_text("app =")
    with pytest.raises(InvalidInput, match=r"fly\.toml is not valid TOML"):
        read_fly_toml(tmp_path / "fly.toml")
    (tmp_path / "fly.toml").write_text('[[files]]\nguest_path = "/a"\nlocal_path = "gone"\n' + IMAGE)
    with pytest.raises(InvalidInput, match="gone cannot be read"):
        read_fly_toml(tmp_path / "fly.toml")
    (tmp_path / "fly.toml").write_text('[[files]]\nguest_path = "/a"\nlocal_path = "a\\u0000b"\n' + IMAGE)
    with pytest.raises(InvalidInput, match=r"a\\x00b' is not a valid file path"):
        read_fly_toml(tmp_path / "fly.toml")


def test_a_file_that_it_names_and_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    (tmp_path / "fly.toml").write_text(f'[[files]]\nguest_path = "/a"\nlocal_path = "nosuch"\n{IMAGE}')
    with pytest.raises(InvalidInput, match=r"files\[0\].local_path names a file, but .*nosuch cannot be read"):
        read_fly_toml(tmp_path / "fly.toml", strict=False)


def test_a_file_nested_too_deep(tmp_path: Path) -> None:
    (tmp_path / "fly.toml").write_text("a = " + "[" * 100_000)
    with pytest.raises(InvalidInput, match=r"fly\.toml cannot be read: it is nested too deeply"):
        read_fly_toml(tmp_path / "fly.toml")


def test_unknown_keys_may_be_left_out(tmp_path: Path) -> None:
    (tmp_path / "fly.toml").write_bytes(b"\xef\xbb\xbf" + f"novel = 1\n{IMAGE}".encode())
    with pytest.raises(InvalidInput, match=r"novel: no known equivalent .*strict=False"):
        read_fly_toml(tmp_path / "fly.toml")
    assert read_fly_toml(tmp_path / "fly.toml", strict=False).image == "nginx"
