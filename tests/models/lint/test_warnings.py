"""Every warning, on both sides: what is unwise is told, what is well is not."""

from typing import Any

import pytest

from flyasync.models.config import Init, MachineConfig, Mount
from flyasync.models.container import Container, Process, Restart, StopConfig
from flyasync.models.guest import Guest
from flyasync.models.lint.linter import lint, lint_groups
from flyasync.models.redaction import names_a_secret
from flyasync.models.service import Check, Port, Service

SECRET = "hunter2"


def service(**given: Any) -> Service:
    return Service(**{"protocol": "tcp", "internal_port": 80, **given})


def config(**given: Any) -> MachineConfig:
    return MachineConfig(**{"image": "nginx", **given})


ASLEEP = service(autostop="suspend", autostart=True)
MOUNT: dict[str, Any] = {"volume": "vol_1", "path": "/data"}


@pytest.mark.parametrize(
    "given",
    [
        {},
        {"services": [ASLEEP, service(autostop="stop", autostart=True), service(autostop="off", autostart=False)]},
        {"services": [service(), service(autostart=True)]},
        {"extra": {"novel": None}},
        {"services": [service(protocol="udp", ports=[Port(port=53)]), service(ports=[Port(port=53)])]},
        {"services": [service(ports=[Port(port=80), Port(start_port=81, end_port=90), Port(port=91)])]},
        {"services": [service(checks=[Check(type="http", interval=1, timeout="1m", grace_period=0)])]},
        {"checks": {"up": Check(type="tcp", port=80)}},
        {"mounts": [Mount(**MOUNT, extend_threshold_percent=80, add_size_gb=1, size_gb_limit=500)]},
        {"mounts": [Mount(**MOUNT, extend_threshold_percent=0, add_size_gb=0, size_gb_limit=0)]},
        {"mounts": [Mount(**MOUNT, extend_threshold_percent=80, add_size_percent=20, min_add_size_gb=2)]},
        {"guest": Guest(cpus=1, memory_mb=256, required_host_features=["nvme"])},
        {"restart": Restart(policy="on-failure", max_retries=3)},
        {"restart": Restart(policy="")},
        {"stop_config": StopConfig(timeout="5m")},
        {"schedule": "daily"},
        {"schedule": ""},
        {"services": [ASLEEP], "guest": Guest(cpus=1, memory_mb=2048)},
        {"services": [ASLEEP], "size": "shared-cpu-8x"},
        {"services": [ASLEEP], "guest": Guest()},
        {"services": [ASLEEP], "metadata": {"fly_process_group": "web"}, "init": Init(cmd=["bin/server"])},
        {"services": [ASLEEP], "init": Init(cmd=["gunicorn", "--no-workerholic"])},
        *(
            {"services": [ASLEEP], "init": Init(exec=command.split())}
            for command in (
                "gunicorn --workers 4 app:web",
                "python -m gunicorn --worker-class uvicorn.workers.UvicornWorker app",
                "/srv/workers/bin/server",
                "node server.js --queue jobs",
                "sh -c uvicorn --workers 4",
                "--workers 4",
                "bundle exec puma --workers 2",
            )
        ),
        {"services": [service(checks=[Check(type="tcp", interval=0, timeout=0)])]},
        {"guest": Guest(cpu_kind="performance", cpus=1, memory_mb=3072, max_memory_mb=8448)},
        {"guest": Guest(cpu_kind="performance", memory_mb=0)},
        {"env": {"SORT_KEY": "id", "TOKEN_LIMIT": "4096", "PARTITION_KEY": "x"}},
        {"services": [service()], "metadata": {"fly_process_group": "worker"}},
        {"env": {"PORT": "80", "PASSWORD": "", "PUBLIC_KEY": "x", "TOKEN_URL": "https://a/b", "MONKEY": "x"}},
        {"env": {"DATABASE_URL": "postgres://db.internal:5432/app"}},
    ],
)
def test_what_is_well(given: dict[str, Any]) -> None:
    assert lint(config(**given)) == ()


@pytest.mark.parametrize(
    ("given", "code", "path"),
    [
        ({"services": [service(internal_port=None)]}, "service-port", "services[0].internal_port"),
        ({"services": [service(protocol=None)]}, "service-protocol", "services[0].protocol"),
        ({"services": [service(autostop="stop")]}, "autostop-without-autostart", "services[0].autostop"),
        ({"services": [service(autostop=True, autostart=False)]}, "autostop-without-autostart", "services[0].autostop"),
        ({"services": [service(autostop=False, autostart=True)]}, "autostart-without-autostop", None),
        ({"services": [service(protocol="udp", ports=[Port(port=53, handlers=["tls"])])]}, "udp-handlers", None),
        ({"services": [service(internal_port=70000)]}, "service-port", "services[0].internal_port"),
        ({"services": [service(ports=[Port(handlers=["http"])])]}, "public-port", "services[0].ports[0]"),
        ({"services": [service(ports=[Port(start_port=80)])]}, "public-port", "services[0].ports[0]"),
        ({"services": [service(ports=[Port(port=70000)])]}, "public-port", "services[0].ports[0]"),
        ({"services": [service(ports=[Port(start_port=90, end_port=80)])]}, "public-port", "services[0].ports[0]"),
        ({"services": [service(ports=[Port(port=443)]), service(ports=[Port(port=443)])]}, "port-twice", None),
        (
            {"services": [service(ports=[Port(port=443), Port(start_port=400, end_port=500)])]},
            "port-twice",
            "services[0].ports[0]",
        ),
        ({"services": [service(checks=[Check(type="tcp", interval="90s")])]}, "check-clamped", None),
        ({"services": [service(checks=[Check(type="tcp", timeout=0.5)])]}, "check-clamped", None),
        ({"guest": Guest(cpu_kind="performance", cpus=1, memory_mb=2304)}, "guest-step", "guest.memory_mb"),
        ({"services": [service(checks=[Check(type="tcp", grace_period=61)])]}, "check-clamped", None),
        ({"services": [service(checks=[Check(type="script")])]}, "check-type", "services[0].checks[0].type"),
        ({"checks": {"up": Check(type="tcp")}}, "check-port", "checks.up.port"),
        ({"checks": {"up": Check(port=1)}}, "check-type", "checks.up.type"),
        ({"mounts": [Mount(**MOUNT, extend_threshold_percent=30, add_size_gb=1)]}, "mount-threshold", None),
        ({"mounts": [Mount(**MOUNT, extend_threshold_percent=80)]}, "mount-step", "mounts[0].add_size_gb"),
        ({"mounts": [Mount(**MOUNT, add_size_gb=101)]}, "mount-step", "mounts[0].add_size_gb"),
        ({"mounts": [Mount(**MOUNT, min_add_size_gb=2)]}, "mount-step", "mounts[0].min_add_size_gb"),
        ({"mounts": [Mount(**MOUNT, size_gb_limit=501)]}, "mount-limit", "mounts[0].size_gb_limit"),
        ({"restart": Restart(policy="never")}, "restart-policy", "restart.policy"),
        ({"restart": Restart(policy="always", max_retries=3)}, "restart-retries", "restart.max_retries"),
        ({"stop_config": StopConfig(timeout=301)}, "stop-timeout", "stop_config.timeout"),
        ({"schedule": "yearly"}, "schedule", "schedule"),
        ({"services": [ASLEEP], "guest": Guest(cpus=2, memory_mb=4096)}, "suspend-memory", "guest.memory_mb"),
        ({"services": [ASLEEP], "size": "performance-2x"}, "suspend-memory", "guest.memory_mb"),
        ({"services": [ASLEEP], "init": Init(swap_size_mb=512)}, "suspend-swap", "init.swap_size_mb"),
        ({"services": [ASLEEP], "schedule": "daily"}, "suspend-schedule", "schedule"),
        ({"services": [ASLEEP], "metadata": {"fly_process_group": "worker"}}, "worker-autostop", None),
        ({"services": [ASLEEP], "init": Init(cmd=["celery", "-A", "x"])}, "worker-autostop", "services[0].autostop"),
        ({"services": [ASLEEP], "init": Init(exec=["npm", "run", "email-worker"])}, "worker-autostop", None),
        *(
            ({"services": [ASLEEP], "init": Init(exec=command)}, "worker-autostop", None)
            for command in (
                ["python", "-u", "/app/worker.py"],
                ["python3.12", "-m", "celery", "-A", "app"],
                ["env", "RAILS_ENV=production", "bin/rails", "jobs:work"],
                ["sh", "-c", "bin/migrate && bundle exec sidekiq"],
                ["sh", "-c", "'worker' --fast"],
                ["/usr/bin/dumb-init", "--", "php", "artisan", "queue:work"],
            )
        ),
        ({"env": {"DB_PASSWORD": SECRET}}, "env-secret", "env.DB_PASSWORD"),
        ({"env": {"DATABASE_URL": f"postgres://app:{SECRET}@db/app"}}, "env-secret", "env.DATABASE_URL"),
        ({"containers": [Container(name="a", env={"API_KEY": SECRET})]}, "env-secret", "containers[0].env.API_KEY"),
        ({"processes": [Process(env={"token": SECRET})]}, "env-secret", "processes[0].env.token"),
        ({"extra": {"servces": []}}, "unknown-key", "servces"),
        ({"guest": Guest(extra={"cpu": 2})}, "unknown-key", "guest.cpu"),
        ({"services": [service(checks=[Check(type="tcp", extra={"novel": SECRET})])]}, "unknown-key", None),
        ({"checks": {"up": Check(type="tcp", port=1, extra={"novel": 1})}}, "unknown-key", "checks.up.novel"),
    ],
)
def test_what_is_unwise(given: dict[str, Any], code: str, path: str | None) -> None:
    (finding,) = lint(config(**given))
    assert (finding.code, finding.certain) == (code, False)
    assert path is None or finding.path == path
    assert SECRET not in str(finding) + repr(finding)


def test_a_misspelled_key_gets_the_known_one() -> None:
    (finding,) = lint(config(extra={"novel": 1}))
    assert finding.advice == "check the spelling"
    (finding,) = lint(config(guest=Guest(extra={"memory_md": 256})))
    assert (finding.path, finding.advice) == ("guest.memory_md", "did you mean 'memory_mb'?")


def test_a_schedule_never_launched() -> None:
    daily = config(schedule="daily")
    assert [finding.code for finding in lint(daily, skip_launch=True)] == ["schedule-skip-launch"]
    assert lint(daily, skip_launch=False) == ()


def test_what_would_be_refused_comes_first() -> None:
    found = lint(config(image=None, restart=Restart(policy="never")))
    assert [(finding.code, finding.certain) for finding in found] == [
        ("image-missing", True),
        ("restart-policy", False),
    ]


def test_a_worker_s_password_is_not_repeated() -> None:
    (finding,) = lint(config(services=[ASLEEP], init=Init(cmd=["sh", "-c", f"worker --password={SECRET}"])))
    assert "'worker'" in str(finding)
    assert SECRET not in str(finding)


def of_group(group: str | None, *services: Service) -> MachineConfig:
    return config(services=services, metadata={"fly_process_group": group} if group else None)


def test_services_of_a_group_are_compared_by_what_they_mean() -> None:
    configs = {
        "m1": of_group("web", service(autostop="off")),
        "m2": of_group("web", service(autostop=False)),
        "m3": of_group("web", service(autostop="off", internal_port=81)),
        "m4": of_group("worker"),
        "m5": of_group(None, service(internal_port=82)),
        "m6": of_group(None),
    }
    (finding,) = lint_groups(configs)
    assert (finding.code, finding.path, finding.certain) == ("services-differ", "m3.services", False)
    assert "those of m1" in finding.message
    assert "services[0].internal_port: 80 → 81" in finding.message


@pytest.mark.parametrize(
    "name",
    [
        *("PASSWORD", "db_password", "STRIPE-SECRET", "API_KEY", "APIKEY", "TOKEN", "KEY", "PGPASSWORD", "MYSQL_PWD"),
        *("clientSecret", "authToken", "dbPassword"),
    ],
)
def test_names_of_secrets(name: str) -> None:
    assert names_a_secret(name)


@pytest.mark.parametrize(
    "name",
    [
        *("PORT", "MONKEY", "KEYBOARD", "PUBLIC_KEY", "TOKEN_TTL", "SECRET_NAME", "TOKENS_USED", "SORT_KEY"),
        *("TOKEN_LIMIT", "sortKey", "publicKey", "PGPASSFILE", "monkeY", "BYPASS"),
    ],
)
def test_names_of_no_secrets(name: str) -> None:
    assert not names_a_secret(name)
