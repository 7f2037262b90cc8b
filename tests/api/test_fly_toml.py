"""A fly.toml, and the files that it names, on the disk."""

import base64
from pathlib import Path

import pytest

from flyasync import InvalidInput, MachineConfig, find_fly_toml, load_config_file, read_fly_toml
from flyasync.api.fly_toml import load_fly_toml
from flyasync.models.fly_toml.app_config import FlyToml

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
        read_fly_toml(tmp_path / "fly.toml", strict=True)
    assert read_fly_toml(tmp_path / "fly.toml").image == "nginx"


def test_the_file_of_a_folder_is_found_in_the_order_of_flyctl(tmp_path: Path) -> None:
    assert find_fly_toml(tmp_path) is None
    (tmp_path / "fly.yml").write_text("")
    (tmp_path / "sub").mkdir()
    assert find_fly_toml(tmp_path) is None
    (tmp_path / "fly.yaml").write_text("app: web")
    with pytest.raises(InvalidInput, match=r"fly\.yaml is YAML, which flyasync does not read: convert it with `fly"):
        find_fly_toml(tmp_path)
    (tmp_path / "fly.json").write_text("{}")
    assert find_fly_toml(tmp_path) == tmp_path / "fly.json"
    (tmp_path / "fly.toml").write_text("")
    assert find_fly_toml(str(tmp_path)) == tmp_path / "fly.toml"
    assert find_fly_toml(tmp_path / "sub") is None


def test_a_fly_json_is_read_like_a_fly_toml(tmp_path: Path) -> None:
    text = '{"app": "web", "kill_timeout": 5, "http_service": {"internal_port": 80}, "env": {"A": 1}, "novel": 1}'
    (tmp_path / "fly.json").write_text(text)
    read = load_config_file(tmp_path / "fly.json")
    assert isinstance(read, FlyToml)
    assert (read.app, read.source) == ("web", str(tmp_path / "fly.json"))
    config = read_fly_toml(tmp_path / "fly.json", image="nginx")
    assert (config.env or {})["A"] == "1"
    assert config.stop_config is not None
    with pytest.raises(InvalidInput, match=r"fly\.json: novel: no known equivalent"):
        read_fly_toml(tmp_path / "fly.json", image="nginx", strict=True)


def test_a_folder_stands_for_the_file_in_it(tmp_path: Path) -> None:
    (tmp_path / "fly.toml").write_text(IMAGE)
    assert read_fly_toml(tmp_path).image == "nginx"
    (tmp_path / "fly.toml").unlink()
    with pytest.raises(InvalidInput, match=r"fly\.toml cannot be read: No such file"):
        load_config_file(tmp_path)


def test_the_json_of_a_machine_is_its_config(tmp_path: Path) -> None:
    file = tmp_path / "machine.json"
    for text in ('{"image": "nginx", "novel": 1}', '{"id": "1", "config": {"image": "nginx"}}'):
        file.write_text(text)
        assert load_config_file(file) == MachineConfig(image="nginx")
        with pytest.raises(InvalidInput, match=r"machine\.json is the config of a machine, not a fly\.toml"):
            load_fly_toml(file)


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("{", r"fly\.json is not valid JSON"),
        ("[]", r"fly\.json must contain a JSON object"),
        ("[" * 100_000, r"fly\.json cannot be read: it is nested too deeply"),
        ('{"image": 1}', r"fly\.json: \$\.image: expected"),
        ('{"app": "web", "image": "nginx"}', r"fly\.json: it has keys of a fly\.json \(app\) and"),
    ],
)
def test_json_that_cannot_be_read_is_named(tmp_path: Path, text: str, says: str) -> None:
    (tmp_path / "fly.json").write_text(text)
    with pytest.raises(InvalidInput, match=says):
        load_config_file(tmp_path / "fly.json")


def test_what_the_api_would_refuse_is_read_and_refused_by_a_deploy(tmp_path: Path) -> None:
    text = f'[processes]\nweb = "a"\njob = "b"\n[[vm]]\ncpus = 3\nprocesses = ["job"]\n{IMAGE}'
    (tmp_path / "fly.toml").write_text(text)
    guest = read_fly_toml(tmp_path / "fly.toml", "job").guest
    assert guest is not None
    assert guest.cpus == 3
    read = load_fly_toml(tmp_path / "fly.toml")
    read.refuse("web")
    with pytest.raises(InvalidInput, match=r"guest\.cpus: 3 is not a valid number of shared cpus"):
        read.refuse("job")


def test_the_name_of_the_app_may_be_that_of_a_template(tmp_path: Path) -> None:
    (tmp_path / "fly.toml").write_text(f'app = "{{APP}}"\n{IMAGE}')
    assert read_fly_toml(tmp_path / "fly.toml").image == "nginx"
    assert [each.path for each in load_fly_toml(tmp_path / "fly.toml").problems()] == ["app"]
