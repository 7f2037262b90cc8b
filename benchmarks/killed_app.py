"""The changes of an app of three process groups from a fly.toml, for `benchmarks.killed`.

The release command runs before each of them. Of the groups that the first deploy creates, web gets two machines,
worker one and a standby, and cron one with a volume.
"""

import tempfile
from collections.abc import Iterator
from pathlib import Path

from benchmarks.killed import Case
from flyasync import DeployBuilder

FILE = """
app = "web"
primary_region = "iad"

[deploy]
release_command = "bin/migrate"

[http_service]
internal_port = 8080
processes = ["web"]

[[http_service.checks]]
path = "/"
interval = "5s"
timeout = "2s"

[mounts]
source = "data"
destination = "/data"
processes = ["cron"]

[processes]
web = "serve"
"""
WORKER = 'worker = "work"\n'
CRON = 'cron = "supercronic /crontab"\n'


def changes() -> Iterator[Case]:
    """Yield a first deploy, and the changes that an app goes through."""
    whole = _of(FILE + WORKER + CRON)
    v2 = whole.with_image("shop:2")
    yield Case(name="first deploy", before=None, wanted=whole)
    yield Case(name="first, three regions", before=None, wanted=whole.to_regions("iad", "lhr", "nrt"))
    yield Case(name="image changed", before=whole, wanted=v2)
    yield Case(name="image, canary", before=_of(FILE), wanted=_of(FILE).with_image("shop:2").canary(soak=5))
    yield Case(name="one count changed", before=whole, wanted=whole.count_group("worker", iad=3))
    yield Case(name="group added", before=_of(FILE + CRON), wanted=v2)
    yield Case(name="group removed", before=whole, wanted=_of(FILE + CRON).retire_groups("worker"))


def _of(text: str) -> DeployBuilder:
    """Return the deploy of a fly.toml with this text."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "fly.toml")
        path.write_text(text)
        return DeployBuilder.from_fly_toml(path, image="shop:1").smoke_check(2)
