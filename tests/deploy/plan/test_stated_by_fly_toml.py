"""What a fly.toml states replaces the fields of a machine, even by nothing; the rest of the machine is kept."""

import json
import tomllib
from typing import Any

from flyasync.deploy.plan.config_merge import MANAGED, merged
from flyasync.models.config import MachineConfig
from flyasync.models.fly_toml.app_config import FlyToml
from flyasync.models.fly_toml.document import read_document
from flyasync.models.json.codec import structure, unstructure

STATED = (
    *("env", "services", "checks", "mounts", "files", "restart", "metrics", "statics", "stop_config"),
    *("init.exec", "init.entrypoint", "init.cmd", "init.swap_size_mb"),
)
# As a machine that something else has made: every field is set.
EXISTING = """{
 "image": "old", "guest": {"cpu_kind": "shared", "cpus": 4, "memory_mb": 1024},
 "init": {"tty": true, "kernel_args": ["a"], "cmd": ["old"], "entrypoint": ["old"], "swap_size_mb": 1},
 "env": {"OLD": "1"}, "services": [{"internal_port": 1}], "checks": {"old": {"type": "tcp", "port": 1}},
 "mounts": [{"volume": "vol_1", "path": "/old"}], "metadata": {"mine": "1", "fly_process_group": "old"},
 "files": [{"guest_path": "/old", "raw_value": "aGk="}], "restart": {"policy": "always"},
 "stop_config": {"signal": "SIGINT"}, "schedule": "daily", "auto_destroy": true, "standbys": ["a"],
 "dns": {"skip_registration": true}, "metrics": {"port": 1, "path": "/m"},
 "statics": [{"guest_path": "/a", "url_prefix": "/b"}]
}"""


def read(text: str) -> FlyToml:
    return read_document(tomllib.loads(text), lambda path: b"")


def over_existing(text: str, group: str = "app") -> dict[str, Any]:
    file, existing = read(text), structure(json.loads(EXISTING), MachineConfig)
    made: dict[str, Any] = unstructure(merged(existing, file.config(group, image="new"), replace=file.stated(group)))
    made["metadata"].pop(MANAGED)
    return made


def test_an_empty_file_removes_what_it_could_express_and_keeps_what_it_cannot() -> None:
    assert over_existing("") == {
        "image": "new",
        "guest": {"cpu_kind": "shared", "cpus": 4, "memory_mb": 1024},
        "init": {"tty": True, "kernel_args": ["a"]},
        "env": {"FLY_PROCESS_GROUP": "app"},
        "metadata": {"mine": "1", "fly_platform_version": "v2", "fly_process_group": "app"},
        "schedule": "daily",
        "auto_destroy": True,
        "standbys": ["a"],
        "dns": {"skip_registration": True},
    }


def test_a_guest_is_stated_where_a_vm_section_applies() -> None:
    text = '[processes]\nweb = "a"\njob = "b"\n[[vm]]\nsize = "shared-cpu-2x"\nprocesses = ["job"]'
    file = read(text)
    assert (file.stated("web"), file.stated("job")) == (STATED, (*STATED, "guest"))
    assert over_existing(text, "web")["guest"]["cpus"] == 4
    assert over_existing(text, "job")["guest"] == {"cpu_kind": "shared", "cpus": 2, "memory_mb": 512}
    assert read("[vm]\ncpus = 1").stated("app")[-1] == "guest"


def test_a_machine_config_is_merged_key_by_key() -> None:
    text = """machine_config = '{"guest": {"cpus": 2}, "dns": {"nameservers": ["1.1.1.1"]}, "schedule": "weekly"}'"""
    config = over_existing(text)
    assert config["guest"] == {"cpu_kind": "shared", "cpus": 2, "memory_mb": 1024}
    assert config["dns"] == {"skip_registration": True, "nameservers": ["1.1.1.1"]}
    assert config["schedule"] == "weekly"


def test_a_command_replaces_the_old_one_and_keeps_the_terminal() -> None:
    config = over_existing('[processes]\napp = "serve --now"')
    assert config["init"] == {"tty": True, "kernel_args": ["a"], "cmd": ["serve", "--now"]}
