"""A fly.toml becomes what flyctl would send; what cannot is refused, by its place."""

import base64
import tomllib
from typing import Any

import pytest

from flyasync.errors import InvalidInput
from flyasync.models.config import MachineConfig, Mount
from flyasync.models.fly_toml.app_config import FlyToml
from flyasync.models.fly_toml.deploy import DeploySection
from flyasync.models.fly_toml.document import read_document
from flyasync.models.fly_toml.files import ReadFile
from flyasync.models.guest import Guest
from flyasync.models.json.codec import unstructure
from flyasync.models.lint.linter import lint
from flyasync.models.types import Duration

IMAGE = '[build]\nimage = "nginx"\n'
FLYCTL = {"fly_platform_version": "v2", "fly_process_group": "app"}
PLAIN = {"image": "nginx", "env": {"FLY_PROCESS_GROUP": "app"}, "metadata": FLYCTL}


def no_file(path: str) -> bytes:
    raise AssertionError(f"{path} is not to be read")


def document(text: str, read_file: ReadFile = no_file) -> FlyToml:
    return read_document(tomllib.loads(text), read_file)


def read(
    text: str,
    *,
    process_group: str | None = None,
    image: str | None = None,
    strict: bool = True,
    read_file: ReadFile = no_file,
) -> MachineConfig:
    found = document(text, read_file)
    found.refuse(strict=strict)
    return found.config(process_group, image=image)


def sent(text: str, **options: Any) -> dict[str, Any]:
    """Give what a document adds to the least that is sent."""
    config = unstructure(read(text + "\n" + IMAGE, **options))
    return {key: value for key, value in config.items() if PLAIN.get(key) != value}


WEB = """
[http_service]
internal_port = 8080
force_https = true
auto_stop_machines = "suspend"
auto_start_machines = true
min_machines_running = 0

[http_service.concurrency]
type = "requests"
soft_limit = 200

[http_service.http_options]
compress = true

[http_service.tls_options]
alpn = ["h2"]

[[http_service.checks]]
interval = 10000
timeout = "2s"
grace_period = "1m"
method = "GET"
path = "/up"

[http_service.checks.headers]
X-Forwarded-Proto = "https"

[[http_service.machine_checks]]
command = ["curl"]
"""
SERVICE: dict[str, Any] = {
    "protocol": "tcp",
    "internal_port": 8080,
    "ports": [
        {"port": 80, "handlers": ["http"], "force_https": True, "http_options": {"compress": True}},
        {"port": 443, "handlers": ["http", "tls"], "http_options": {"compress": True}, "tls_options": {"alpn": ["h2"]}},
    ],
    "autostop": "suspend",
    "autostart": True,
    "min_machines_running": 0,
    "concurrency": {"type": "requests", "soft_limit": 200},
    "checks": [
        {
            "type": "http",
            "interval": "10s",
            "timeout": "2s",
            "grace_period": "1m",
            "method": "GET",
            "path": "/up",
            "headers": [{"name": "X-Forwarded-Proto", "values": ["https"]}],
        }
    ],
}


def test_the_least() -> None:
    assert unstructure(read(IMAGE)) == PLAIN
    assert lint(read(IMAGE)) == ()


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ('app = "web"\nconsole_command = "sh"\n[deploy]\nstrategy = "canary"\nrelease_command = "x"', {}),
        ('primary_region = "lhr"', {"env": {"FLY_PROCESS_GROUP": "app", "PRIMARY_REGION": "lhr"}}),
        ('kill_signal = "SIGTERM"\nkill_timeout = 120', {"stop_config": {"signal": "SIGTERM", "timeout": "2m0s"}}),
        ('kill_timeout = "90s"', {"stop_config": {"timeout": "90s"}}),
        ('kill_timeout = ""', {}),
        ("swap_size_mb = 512", {"init": {"swap_size_mb": 512}}),
        (
            '[env]\nA = 1\nB = true\nC = 1.5\nD = 2.0\nE = "x"\nF = 2020-01-02',
            {
                "env": {
                    "A": "1",
                    "B": "true",
                    "C": "1.5",
                    "D": "2",
                    "E": "x",
                    "F": "2020-01-02",
                    "FLY_PROCESS_GROUP": "app",
                }
            },
        ),
        (
            "[processes]\napp = \"bin/web --name 'a b' --n=#1\"",
            {"init": {"cmd": ["bin/web", "--name", "a b", "--n=#1"]}},
        ),
        (
            "[processes]\napp = 'sh -c \"run --port \\$PORT\" # note'",
            {"init": {"cmd": ["sh", "-c", "run --port $PORT"]}},
        ),
        ('[[processes]]\nname = "app"\ncommand = "x y"', {"init": {"cmd": ["x", "y"]}}),
        ('[[processes]]\nname = "app"', {}),
        ("[[processes]]", {}),
        ('[processes]\napp = ""', {}),
        ("processes = []", {}),
        (
            '[experimental]\ncmd = ["a"]\nentrypoint = ["b"]\nexec = ["c"]',
            {"init": {"cmd": ["a"], "entrypoint": ["b"], "exec": ["c"]}},
        ),
        ("[experimental]\nauto_rollback = true\n[experimental.attached.secrets]\nexport = {}", {}),
        ("[experimental]\nkill_timeout = 30", {"stop_config": {"timeout": "30s"}}),
        ("kill_timeout = 5\n[experimental]\nkill_timeout = 30", {"stop_config": {"timeout": "5s"}}),
        (
            '[experimental]\nmetrics_port = 9000\nmetrics_path = "/foo"',
            {"metrics": {"port": 9000, "path": "/foo"}},
        ),
        (
            '[metrics]\nport = 1\npath = "/m"\n[experimental]\nmetrics_port = 9000\nmetrics_path = "/foo"',
            {"metrics": {"port": 1, "path": "/m"}},
        ),
        ('[experimental]\nmachine_config = \'{"schedule": "daily"}\'', {"schedule": "daily"}),
        ('[experimental]\nentrypoint = "a b"', {"init": {"entrypoint": ["a b"]}}),
        ('[experimental]\ncmd = "a"\n[processes]\napp = "b"', {"init": {"cmd": ["b"]}}),
        ('[mount]\nsource = "data"\ndestination = "/d"', {"mounts": [{"name": "data", "path": "/d"}]}),
        (
            '[[checks]]\nname = "up"\ntype = "tcp"\nport = 1\n[[checks]]\nname = "well"\ntype = "tcp"\nport = 2',
            {"checks": {"up": {"type": "tcp", "port": 1}, "well": {"type": "tcp", "port": 2}}},
        ),
        (
            '[[services]]\ninternal_port = "1"\nconcurrency = "20,25"\n[[services.ports]]\nport = "80"',
            {
                "services": [
                    {
                        "protocol": "tcp",
                        "internal_port": 1,
                        "ports": [{"port": 80}],
                        "concurrency": {"type": "requests", "soft_limit": 20, "hard_limit": 25},
                    }
                ]
            },
        ),
        (WEB, {"services": [SERVICE]}),
        ("[[services]]", {}),
        ("[[services]]\ntcp_checks = []\n[services.concurrency]", {}),
        (
            '[[services]]\ninternal_port = 53\nprotocol = "udp"\n[[services.ports]]\nport = 53',
            {"services": [{"protocol": "udp", "internal_port": 53, "ports": [{"port": 53}]}]},
        ),
        (
            (
                "[[services]]\ninternal_port = 1\nscript_checks = []\nauto_stop_machines = true\n"
                '[[services.tcp_checks]]\ninterval = "15s"\nrestart_limit = 0\n[[services.http_checks]]\npath = "/"'
            ),
            {
                "services": [
                    {
                        "protocol": "tcp",
                        "internal_port": 1,
                        "autostop": "stop",
                        "checks": [{"type": "tcp", "interval": "15s"}, {"type": "http", "path": "/"}],
                    }
                ]
            },
        ),
        (
            '[checks.up]\ntype = "tcp"\nport = 5432\ninterval = 15000',
            {"checks": {"up": {"type": "tcp", "port": 5432, "interval": "15s"}}},
        ),
        (
            '[checks.up]\ntype = "http"\nport = 1\nmethod = "get"\ntimeout = ""\ngrace_period = 500',
            {"checks": {"up": {"type": "http", "port": 1, "method": "GET", "grace_period": "500ms"}}},
        ),
        (
            '[checks.up]\ntype = "http"\nport = 1\nheaders = [{name = "A", value = 1}, {name = "B"}]',
            {
                "checks": {
                    "up": {
                        "type": "http",
                        "port": 1,
                        "headers": [{"name": "A", "values": ["1"]}, {"name": "B", "values": [""]}],
                    }
                }
            },
        ),
        ('[[compute]]\nsize = "shared-cpu-2x"', {"guest": {"cpu_kind": "shared", "cpus": 2, "memory_mb": 512}}),
        ('[computes]\nsize = "shared-cpu-2x"', {"guest": {"cpu_kind": "shared", "cpus": 2, "memory_mb": 512}}),
        (
            '[[vm]]\nmemory = "1gb"\nprocesses = ["app"]\n[[vm]]\nmemory = "2gb"\nprocesses = ["app"]',
            {"guest": {"cpu_kind": "shared", "cpus": 1, "memory_mb": 2048}},
        ),
        ('[[vm]]\nsize = "shared-cpu-2x"', {"guest": {"cpu_kind": "shared", "cpus": 2, "memory_mb": 512}}),
        ('[[vm]]\nmemory = "1gb"', {"guest": {"cpu_kind": "shared", "cpus": 1, "memory_mb": 1024}}),
        ('[[vm]]\nmemory = "512"', {"guest": {"cpu_kind": "shared", "cpus": 1, "memory_mb": 512}}),
        ("[[vm]]\nmemory = 512", {"guest": {"cpu_kind": "shared", "cpus": 1, "memory_mb": 512}}),
        (
            '[vm]\nmemory = "4 GiB"\ncpus = 2\ncpu_kind = "performance"',
            {"guest": {"cpu_kind": "performance", "cpus": 2, "memory_mb": 4096}},
        ),
        (
            'host_dedication_id = "h1"\n[[vm]]\nsize = "shared-cpu-1x"\nmemory_mb = 512\nhost_dedication_id = "h2"',
            {"guest": {"cpu_kind": "shared", "cpus": 1, "memory_mb": 512, "host_dedication_id": "h2"}},
        ),
        (
            '[[vm]]\nsize = "shared-cpu-1x"\nrequired_host_features = ["nvme"]',
            {"guest": {"cpu_kind": "shared", "cpus": 1, "memory_mb": 256, "required_host_features": ["nvme"]}},
        ),
        (
            '[[vm]]\ngpu_kind = "l40s"',
            {"guest": {"cpu_kind": "performance", "cpus": 8, "memory_mb": 16384, "gpu_kind": "l40s"}},
        ),
        (
            (
                '[mounts]\nsource = "data"\ndestination = "/data"\ninitial_size = "10gb"\nsnapshot_retention = 5\n'
                'auto_extend_size_threshold = 80\nauto_extend_size_increment = "1GB"\nauto_extend_size_limit = "100"'
            ),
            {
                "mounts": [
                    {
                        "name": "data",
                        "path": "/data",
                        "extend_threshold_percent": 80,
                        "add_size_gb": 1,
                        "size_gb_limit": 100,
                    }
                ]
            },
        ),
        (
            '[[restart]]\npolicy = "on-failure"\nretries = 3',
            {"restart": {"policy": "on-failure", "max_retries": 3}},
        ),
        ('[[restart]]\npolicy = "never"', {"restart": {"policy": "no"}}),
        (
            '[metrics]\nport = 9091\npath = "/metrics"\n',
            {"metrics": {"port": 9091, "path": "/metrics"}},
        ),
        (
            '[[statics]]\nguest_path = "/app/public"\nurl_prefix = "/public"',
            {
                "statics": [
                    {"guest_path": "/app/public", "url_prefix": "/public", "tigris_bucket": "", "index_document": ""}
                ]
            },
        ),
        (
            '[[files]]\nguest_path = "/a"\nraw_value = "hi"\n[[files]]\nguest_path = "/b"\nsecret_name = "S"',
            {"files": [{"guest_path": "/a", "raw_value": "aGk="}, {"guest_path": "/b", "secret_name": "S"}]},
        ),
        ('[[files]]\nguest_path = "/a"\nlocal_path = ""', {}),
    ],
)
def test_each_section(text: str, expected: dict[str, Any]) -> None:
    assert sent(text) == expected


def test_a_check_takes_the_port_of_the_http_service() -> None:
    assert sent('[checks.up]\ntype = "tcp"\n' + WEB)["checks"] == {"up": {"type": "tcp", "port": 8080}}


GROUPS = """
[processes]
app = "bin/web"
worker = "bin/worker"

[http_service]
internal_port = 8080
processes = ["app"]

[[services]]
internal_port = 9000
processes = ["app"]

[[vm]]
size = "shared-cpu-1x"

[[vm]]
size = "shared-cpu-2x"
processes = ["worker"]

[[mounts]]
source = "jobs"
destination = "/jobs"
processes = ["worker"]

[[restart]]
policy = "always"

[[metrics]]
port = 1
path = "/web"

[[metrics]]
port = 2
path = "/worker"
processes = ["worker"]

[checks.up]
type = "tcp"
port = 1
processes = ["worker", "app"]
"""


def test_a_group_gets_what_is_its_own() -> None:
    web, worker = (sent(GROUPS, process_group=group) for group in ("app", "worker"))
    assert web["init"] == {"cmd": ["bin/web"]}
    assert [service["internal_port"] for service in web["services"]] == [8080, 9000]
    assert (web["guest"]["cpus"], web["metrics"]["port"], "mounts" in web) == (1, 1, False)
    assert worker["init"] == {"cmd": ["bin/worker"]}
    assert "services" not in worker
    assert (worker["guest"]["cpus"], worker["metrics"]["port"]) == (2, 2)
    assert worker["mounts"] == [{"name": "jobs", "path": "/jobs"}]
    assert worker["env"] == {"FLY_PROCESS_GROUP": "worker"}
    assert worker["metadata"] == {**FLYCTL, "fly_process_group": "worker"}
    assert web["restart"] == worker["restart"] == {"policy": "always"}
    assert web["checks"] == worker["checks"] == {"up": {"type": "tcp", "port": 1}}


def test_the_only_group_needs_no_naming() -> None:
    config = sent('[processes]\nworker = "w"\n[[services]]\ninternal_port = 1\nprocesses = ["worker"]')
    assert config["metadata"]["fly_process_group"] == "worker"
    assert len(config["services"]) == 1


def test_a_given_image_comes_first() -> None:
    assert read(IMAGE, image="other").image == "other"
    assert read('[build]\ndockerfile = "Dockerfile"', image="other").image == "other"


def test_files_are_of_all_groups_or_of_those_that_they_name() -> None:
    text = """
    [processes]
    app = "a"
    worker = "b"
    [[files]]
    guest_path = "/all"
    raw_value = "x"
    [[files]]
    guest_path = "/worker"
    raw_value = "x"
    processes = ["worker"]
    """
    paths = [[file["guest_path"] for file in sent(text, process_group=group)["files"]] for group in ("app", "worker")]
    assert paths == [["/all"], ["/all", "/worker"]]


def test_what_a_deploy_does() -> None:
    found = document(
        """
        app = "web"
        primary_region = "lhr"
        [deploy]
        strategy = "canary"
        max_unavailable = 0.5
        wait_timeout = "10m"
        release_command = "bin/migrate 'a b'"
        release_command_timeout = "30s"
        seed_command = "bin/seed"
        [deploy.release_command_vm]
        size = "shared-cpu-2x"
        """
    )
    assert (found.app, found.primary_region, found.groups, found.findings) == ("web", "lhr", ("app",), ())
    assert found.deploy == DeploySection(
        strategy="canary",
        max_unavailable=0.5,
        wait_timeout=Duration("10m"),
        release_command=("bin/migrate", "a b"),
        release_command_timeout=Duration("30s"),
        release_command_guest=Guest.of_size("shared-cpu-2x"),
        seed_command=("bin/seed",),
    )


def test_how_a_volume_is_made() -> None:
    text = """
    [mounts]
    source = "data"
    destination = "/data"
    initial_size = 20
    snapshot_retention = 7
    scheduled_snapshots = false
    """
    (mount,) = document(text).mounts_of("app")
    assert (mount.initial_size_gb, mount.snapshot_retention, mount.scheduled_snapshots) == (20, 7, False)
    assert mount.mount == Mount(name="data", path="/data")


def found(text: str) -> list[tuple[str, str, bool]]:
    return [(each.code, each.path, each.certain) for each in document(text).findings]


UNKNOWN = """
org = "me"
[build]
context = "."
[deploy]
strategie = "canary"
[http_service]
internal_port = 80
processes = ["app"]
timeout = 30
[http_service.tls_options]
novel = 1
alpn = ["h2"]
[[http_service.tcp_checks]]
interval = "10s"
[[vm]]
swap_size_gb = 2
[[processes]]
name = "app"
novel = 1
"""


def test_all_that_is_unknown_is_found() -> None:
    unknown = [
        *("processes[0].novel", "deploy.strategie", "build.context", "http_service.tls_options.novel"),
        *("http_service.timeout", "http_service.tcp_checks", "vm[0].swap_size_gb", "org"),
    ]
    assert found(UNKNOWN) == [("unknown-key", path, False) for path in unknown]
    with pytest.raises(InvalidInput) as caught:
        read(UNKNOWN, image="nginx")
    problem = "no known equivalent in a machine config, so it has no effect"
    listed = "; ".join(
        f"{path}: unknown key: did you mean 'strategy'?" if path == "deploy.strategie" else f"{path}: {problem}"
        for path in unknown
    )
    assert str(caught.value) == (
        f"fly.toml: {listed}: correct or remove these keys, or pass strict=False to ignore them as flyctl does"
    )
    config = read(UNKNOWN, image="nginx", strict=False)
    assert "novel" not in str(unstructure(config))
    assert [service["ports"][1]["tls_options"] for service in unstructure(config)["services"]] == [{"alpn": ["h2"]}]


@pytest.mark.parametrize(
    ("text", "path", "similar"),
    [
        ("[http_service]\nauto_stop_machine = 'stop'", "http_service.auto_stop_machine", "auto_stop_machines"),
        ("[http_servce]\ninternal_port = 80", "http_servce", "http_service"),
        ("[http_service.tls_options]\nversion = ['TLSv1.3']", "http_service.tls_options.version", "versions"),
        ("[[services]]\n[[services.ports]]\nhandler = ['http']", "services[0].ports[0].handler", "handlers"),
        ("[deploy]\nrelease_comand = 'x'", "deploy.release_comand", "release_command"),
        ("[build]\nimgae = 'nginx'", "build.imgae", "image"),
        ("[[vm]]\nmemry = '1gb'", "vm[0].memry", "memory"),
    ],
)
def test_a_misspelled_key_gets_the_known_one(text: str, path: str, similar: str) -> None:
    unknown = [each for each in document(text).findings if each.code == "unknown-key"]
    assert [(each.path, each.message) for each in unknown] == [(path, f"unknown key: did you mean {similar!r}?")]


def test_a_key_unlike_all_known_ones_gets_no_suggestion() -> None:
    (unknown,) = document("org = 'me'").findings
    assert "did you mean" not in str(unknown)


def test_all_that_cannot_be_used_is_found() -> None:
    text = 'kill_signal = 1\n[[services]]\ninternal_port = "many"\n[[vm]]\ncpus = "2"\n' + IMAGE
    wrong = ["services[0].internal_port", "services[0].ports", "vm[0].cpus", "kill_signal"]
    assert [path for _, path, _ in found(text)] == wrong
    with pytest.raises(
        InvalidInput, match=r"services\[0\].internal_port .*; vm\[0\].cpus .*; kill_signal must be a string"
    ):
        read(text, strict=False)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ('[[services]]\ninternal_port = 80\nprotocol = "tcp"', ("service-ports", "services[0].ports", False)),
        ('[[vm]]\nmemory = "1gb"\nmemory_mb = 256', ("memory-twice", "vm[0].memory_mb", False)),
        ('[[vm]]\nmemory = "1gb"\nmemory_mb = 1024', None),
        (
            '[[vm]]\nmemory = "1gb"\nprocesses = ["app"]\n[[vm]]\nmemory = "1gb"\nprocesses = ["app"]',
            ("vm-twice", "vm", False),
        ),
        (
            '[processes]\na = "x"\nb = "y"\n[[restart]]\npolicy = "always"',
            ("restart-of-all", "restart", False),
        ),
        ('[[vm]]\nmemory = "1gb"\n[[compute]]\nmemory = "2gb"', ("vm-twice", "vm", False)),
        ('[[processes]]\nname = "a"\n[[processes]]\nname = "a"', ("process-twice", "processes", False)),
        ("[[processes]]", None),
        ('machine_config = \'{"schedule": "daily", "init": {}, "guest": {}}\'', None),
        *(
            (f"machine_config = '{{\"{key}\": {value}}}'", ("machine-config-replaced", "machine_config", False))
            for key, value in {
                "env": '{"A": "1"}',
                "services": "[{}]",
                "files": '[{"guest_path": "/a", "local_path": "a"}]',
                "checks": '{"up": {}}',
                "stop_config": '{"signal": "SIGINT"}',
                "restart": '{"policy": "no"}',
            }.items()
        ),
        ('[[restart]]\npolicy = "always"', None),
        ("[[files]]\nguest_path = '/a'", ("file-source", "files[0].local_path", False)),
        ('[[files]]\nguest_path = "/a"\nraw_value = "aGk="', ("file-raw-value", "files[0].raw_value", False)),
        (
            '[mounts]\nauto_extend_size_threshold = 80\nauto_extend_size_increment = "1gb"',
            ("mount-limit", "mounts.auto_extend_size_limit", False),
        ),
        ('[[vm]]\nprocesses = ["nosuch"]', ("unknown-group", "vm[0].processes", False)),
        ('[deploy]\nstrategy = "slow"', ("value", "deploy.strategy", True)),
    ],
)
def test_what_can_be_meant_in_two_ways(text: str, expected: tuple[str, str, bool] | None) -> None:
    assert found(text) == ([expected] if expected else [])


CONTAINERS = """{"containers": [{"name": "side", "image": "envoy"}, {"name": "app", "image": "old"}], "novel": 1,
"schedule": "daily", "init": {"tty": true, "cmd": ["old"]}, "restart": {"policy": "always"}}"""


@pytest.mark.parametrize(
    ("extra", "images"),
    [("", ["envoy", "nginx"]), ('container = "side"\n', ["nginx", "old"]), ('container = "app"\n', ["envoy", "nginx"])],
)
def test_a_machine_config_lies_under_it(extra: str, images: list[str]) -> None:
    config = read(f"{extra}machine_config = 'm.json'\n{IMAGE}", read_file=lambda path: CONTAINERS.encode())
    assert [container.image for container in config.containers or ()] == images
    assert (config.image, config.schedule, config.restart, config.extra) == ("nginx", "daily", None, {"novel": 1})
    assert config.metadata == FLYCTL
    assert unstructure(config.init) == {"tty": True}


def test_a_machine_config_in_place() -> None:
    config = read(f"machine_config = '''{CONTAINERS}'''\n[processes]\napp = 'a b'\n{IMAGE}")
    assert unstructure(config.init) == {"tty": True, "cmd": ["a", "b"]}


FILES = """{"containers": [{"name": "app", "files": [{"guest_path": "/etc/x", "local_path": "conf/x", "mode": 420},
{"guest_path": "/etc/y", "raw_value": "eQ=="}]}, {"name": "side", "image": "envoy"}]}"""


def test_a_file_of_a_container_gets_its_content() -> None:
    contents = {"m.json": FILES.encode(), "conf/x": b"x=1"}
    config = read(f"machine_config = 'm.json'\n{IMAGE}", read_file=contents.__getitem__)
    assert [unstructure(container).get("files") for container in config.containers or ()] == [
        [
            {"guest_path": "/etc/x", "raw_value": base64.b64encode(b"x=1").decode(), "mode": 420},
            {"guest_path": "/etc/y", "raw_value": "eQ=="},
        ],
        None,
    ]
    assert lint(config) == ()


def test_a_file_of_a_container_whose_local_path_is_not_a_string_is_refused() -> None:
    contents = {"m.json": FILES.replace('"conf/x"', "7").encode()}
    with pytest.raises(InvalidInput, match="machine_config has a file whose local_path is not a string"):
        read(f"machine_config = 'm.json'\n{IMAGE}", read_file=contents.__getitem__)


def test_a_machine_config_nested_too_deep() -> None:
    deep = b"[" * 100_000
    with pytest.raises(InvalidInput, match=r"machine_config must be JSON .*nested too deeply"):
        read(f"machine_config = 'm.json'\n{IMAGE}", read_file=lambda path: deep)


def test_a_machine_config_that_is_no_json() -> None:
    with pytest.raises(InvalidInput, match="machine_config must be JSON"):
        read(f"machine_config = 'm.yaml'\n{IMAGE}", read_file=lambda path: b"containers: []")
    with pytest.raises(InvalidInput, match="machine_config must be JSON"):
        read(f"machine_config = 'm.json'\n{IMAGE}", read_file=lambda path: b"\xff")


def test_a_machine_config_of_several_lines_is_no_path_and_is_not_repeated() -> None:
    with pytest.raises(InvalidInput, match=r"machine_config is neither JSON nor .*YAML is not supported") as caught:
        read(f"machine_config = 'containers:\n  - env:\n      A: hunter2'\n{IMAGE}".replace("'", "'''"))
    assert "hunter2" not in str(caught.value)


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("", "names no image, and flyasync does not build one"),
        ('[build]\ndockerfile = "Dockerfile"', "names no image, and flyasync does not build one"),
        ("novel = 1\n" + IMAGE, "novel: no known equivalent"),
        (
            IMAGE + "[http_service]\ninternal_port = 1\nnovel = 1\nother = 2",
            "http_service.novel: .*; http_service.other: ",
        ),
        (IMAGE + '[[services]]\n[[services.script_checks]]\ncommand = "x"', r"services\[0\].script_checks"),
        (IMAGE + "[[services]]\n[[services.http_checks]]\nnovel = 1", r"services\[0\].http_checks\[0\].novel"),
        (IMAGE + "[[services]]\nports = 1", r"services\[0\].ports must be a table"),
        (IMAGE + "[[services]]\n[[services.ports]]\nnovel = 1", r"services\[0\].ports\[0\].novel: no known equivalent"),
        (
            IMAGE + "[[services]]\n[[services.ports]]\n[services.ports.tls_options]\nnovel = 1",
            r"ports\[0\].tls_options.novel: no known equivalent",
        ),
        (IMAGE + "[http_service.tls_options]\nnovel = 1", "http_service.tls_options.novel: no known equivalent"),
        (IMAGE + "[http_service.http_options]\nnovel = 1", "http_service.http_options.novel: no known equivalent"),
        (
            IMAGE + "[[http_service.http_options.replay_cache]]\nnovel = 1",
            r"http_options.replay_cache\[0\].novel: no known equivalent",
        ),
        (IMAGE + "[http_service.concurrency]\nnovel = 1", "http_service.concurrency.novel: no known equivalent"),
        (IMAGE + "novel = 1", "build.novel: no known equivalent"),
        (IMAGE + "[experimental]\nnovel = 1", "experimental.novel: no known equivalent"),
        (IMAGE + "[[services]]\nconcurrency = 'many'", "concurrency must be a table, or a string"),
        (IMAGE + "[[services]]\nconcurrency = 20", "concurrency is wrong: .*: expected an object, got int"),
        (IMAGE + "[[services]]\nprocesses = ['nosuch']", r"services\[0\].processes names 'nosuch'"),
        (IMAGE + "[[vm]]\nprocesses = ['nosuch']", r"vm\[0\].processes: 'nosuch' is not a process group"),
        (IMAGE + "[mount]\nprocesses = ['app', 'nosuch']\n[processes]\napp = 'x'", "mount.processes: 'nosuch' is not"),
        (IMAGE + "[[checks]]\ntype = 'tcp'\nport = 1", r"checks\[0\].name is missing"),
        (IMAGE + "[[services]]\nauto_stop_machines = 1", "auto_stop_machines must be"),
        (IMAGE + "[[services]]\nauto_stop_machines = 'soon'", "auto_stop_machines must be a boolean, or off, stop"),
        (IMAGE + "[checks.up]\nport = 1", "checks.up.type is missing; it must be tcp or http"),
        (IMAGE + "[checks.up]\nport = 1\ntype = 'icmp'", "checks.up.type must be tcp or http"),
        (IMAGE + "[checks.up]\ntype = 'tcp'\nport = '1'", "checks.up.port must be an integer, not a string"),
        (IMAGE + "[http_service]\ninternal_port = '80'", "http_service.internal_port must be an integer, not a string"),
        (IMAGE + "[[services]]\n[[services.tcp_checks]]\ninterval = '90'", "interval is wrong: '90' is not a duration"),
        ("kill_timeout = '90'\n" + IMAGE, "kill_timeout is wrong: '90' is not a duration"),
        ("kill_timeout = 99999999999999\n" + IMAGE, r"kill_timeout is wrong: 9+ seconds is not a valid duration"),
        ("kill_timeout = inf\n" + IMAGE, "kill_timeout is wrong: the duration is too long"),
        (f"kill_timeout = {'9' * 400}\n" + IMAGE, "kill_timeout is wrong: the duration is too long"),
        (IMAGE + f'[[vm]]\nmemory = "{"9" * 400}gb"', "memory is not a valid size"),
        (IMAGE + '[[processes]]\ncommand = "x"', r"processes\[0\].name is missing"),
        (IMAGE + "compose.file = 'docker-compose.yml'", "build.compose is not supported: write the containers"),
        (
            IMAGE + '[deploy]\nrelease_command = "it\'s"',
            "deploy.release_command is not a valid command line: a quote is not closed",
        ),
        (IMAGE + "[[services]]\n[[services.http_checks]]\nheaders = [1]", "headers must be a table of strings"),
        (IMAGE + "[[services]]\n[[services.http_checks]]\ninterval = 'soon'", "'soon' is not a duration"),
        (IMAGE + "[checks.up]\ntype = 'tcp'", "checks.up.port is missing"),
        (IMAGE + "[checks]\nup = 1", "checks.up must be a table"),
        ("services = 1\n" + IMAGE, "services must be a table, or a list of tables"),
        ("services = [1]\n" + IMAGE, r"services\[0\] must be a table"),
        (IMAGE + '[[vm]]\nmemory = "lots"', r'vm\[0\].memory is not a valid size: write it as "512mb"'),
        (IMAGE + '[[vm]]\nmemory = "1kb"', "memory must be more than 0"),
        (IMAGE + "[[vm]]\nsize = 'huge'", r"vm\[0\].size is wrong: 'huge' is not a machine size"),
        (IMAGE + '[[vm]]\ncpus = "many"', "must be an integer, not a string"),
        (IMAGE + "[[restart]]\npolicy = 'novel'", "must be never, always or on-failure"),
        (IMAGE + "[env]\nA = []", "env.A must be a string"),
        (IMAGE + "[processes]\napp = 1", "processes must be a table of commands"),
        (IMAGE + '[processes]\napp = "it\'s"', "processes is not a valid command line: a quote is not closed"),
        (IMAGE + "[experimental]\ncmd = 1", "experimental.cmd must be a list, not an integer"),
        (IMAGE + "[experimental]\ncmd = [1]", "must be a list of strings"),
        ("kill_signal = 1\n" + IMAGE, "kill_signal must be a string, not an integer"),
        ("machine_config = '{1'\n" + IMAGE, "machine_config must be JSON"),
        ("machine_config = '{\"env\": 1}'\n" + IMAGE, "machine_config must be JSON"),
        ("container = 'x'\nmachine_config = '{\"containers\": [{}]}'\n" + IMAGE, "container is 'x'"),
    ],
)
def test_what_has_no_equivalent(text: str, says: str) -> None:
    with pytest.raises(InvalidInput, match=says):
        read(text)


@pytest.mark.parametrize(
    ("group", "says"), [(None, "choose one of app, worker"), ("web", "no process group 'web': choose one of app")]
)
def test_a_group_must_be_chosen(group: str | None, says: str) -> None:
    with pytest.raises(InvalidInput, match=says):
        read(GROUPS + IMAGE, process_group=group)
