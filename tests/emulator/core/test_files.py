import pytest

from flyasync.emulator.core.files import at_boot
from flyasync.emulator.core.records import SecretRecord

PATH = "/etc/app.conf"


def secret(value: str) -> SecretRecord:
    return SecretRecord(name="S", value=value, created_at=0.0, updated_at=0.0)


@pytest.mark.parametrize(
    ("file", "content"),
    [
        ({"guest_path": PATH, "raw_value": "aGVsbG8="}, b"hello"),
        ({"guest_path": PATH}, b""),
        ({"guest_path": PATH, "secret_name": "GOOD"}, b"hello"),
        ({"guest_path": PATH, "secret_name": "NOT_BASE64"}, b""),
        ({"guest_path": PATH, "secret_name": "UNSET"}, b""),
    ],
)
def test_a_machine_boots_with_the_files_of_its_config(file: dict[str, str], content: bytes) -> None:
    secrets = {"GOOD": secret("aGVsbG8="), "NOT_BASE64": secret("ä")}
    assert at_boot({"files": [file]}, secrets, {}) == {PATH: content}


def test_a_file_without_a_path_is_left_out_and_only_files_on_a_volume_stay() -> None:
    before = {"/data/kept": b"1", "/tmp/gone": b"2", "/database": b"3"}
    config = {"files": [{"raw_value": "aGVsbG8="}], "mounts": [{"path": "/data/"}]}
    assert at_boot(config, {}, before) == {"/data/kept": b"1"}
    assert at_boot({}, {}, before) == {}
