"""Other clients of Fly.io, unmodified, against the emulator: `python -m benchmarks.official_clients`.

- `--autoscaler PATH`: fly-autoscaler follows a metric from 1 to 4 machines and back to 1, for one app and for a
  wildcard.
- `--terraform-provider PATH`: `terraform` (from PATH) applies an app, an address, a volume, a machine and a certificate
  with andrewbaxter/terraform-provider-fly, plans no further change, and destroys all of it.

Each has the hosts of Fly.io as constants. The emulator serves HTTPS under their names, and a proxy connects these names
to it; any other host is refused. Exits with 1 if a client does anything else.
"""

import asyncio
import os
import sys
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from tempfile import TemporaryDirectory

import aiohttp
from aiohttp import web

from benchmarks.shared.options import options
from benchmarks.shared.programs import proxied, run
from benchmarks.shared.servers import site
from flyasync import Emulator

HOSTS = ("api.fly.io", "api.machines.dev")
PATIENCE = 40.0

TERRAFORM = """
terraform {
  required_providers { fly = { source = "andrewbaxter/fly" } }
}
resource "fly_app" "web" {
  name = "web"
  org = "personal"
  assign_shared_ip_address = true
}
resource "fly_ip" "v6" {
  app = fly_app.web.name
  type = "v6"
}
resource "fly_volume" "data" {
  app = fly_app.web.name
  name = "data"
  region = "iad"
  size = 10
}
resource "fly_machine" "one" {
  app = fly_app.web.name
  region = "iad"
  image = "nginx:1"
  env = { PORT = "8080" }
  mounts = [{ volume = fly_volume.data.id, path = "/data" }]
  services = [{ protocol = "tcp", internal_port = 8080, ports = [{ port = 443, handlers = ["tls", "http"] }] }]
}
resource "fly_cert" "name" {
  app = fly_app.web.name
  hostname = "example.com"
}
"""
OVERRIDES = 'provider_installation {{\n dev_overrides {{ "andrewbaxter/fly" = "{folder}" }}\n direct {{}}\n}}\n'


@asynccontextmanager
async def sandbox() -> AsyncIterator[tuple[Emulator, dict[str, str]]]:
    """Serve an emulator under the names of Fly.io, and yield it with the environment for its clients."""
    async with Emulator(boot=(0.2, 0.6), tls=True, allow_hosts=HOSTS) as emulator:
        port = int(emulator.url.rpartition(":")[2])
        async with proxied([], {f"{host}:443": port for host in HOSTS}) as proxy:
            own = {"HTTPS_PROXY": proxy, "NO_PROXY": "127.0.0.1", "CHECKPOINT_DISABLE": "1"}
            yield emulator, {**os.environ, **emulator.environment(), **own}


async def autoscaled(binary: Path, pattern: str) -> bool:
    """Scale an app that matches `pattern` from 1 to 4 and back; print when, and return whether it did."""
    load, seen = [1], list[int]()

    async def query(_: web.Request) -> web.Response:
        """Answer like a Prometheus server, to each query with the same value."""
        sample = {"metric": {}, "value": [time.time(), str(load[-1])]}
        return web.json_response({"status": "success", "data": {"resultType": "vector", "result": [sample]}})

    async def scale(process: asyncio.subprocess.Process) -> None:
        for target in (1, 4, 1):
            load.append(target)
            with suppress(TimeoutError):
                async with asyncio.timeout(PATIENCE):
                    while _started(emulator) != target:  # noqa: ASYNC110 - another process
                        await asyncio.sleep(0.05)
            seen.append(_started(emulator))
        await asyncio.sleep(4)  # it keeps the count as long as the metric does
        seen.append(_started(emulator))
        if process.returncode is None:
            process.terminate()

    app = web.Application()
    app.router.add_route("*", "/api/v1/query", query)
    async with sandbox() as (emulator, environment), site(app) as metrics:
        await _deployed(emulator)
        settings = {
            "API_TOKEN": emulator.token,
            "ORG": "personal",
            "APP_NAME": pattern,
            "PROCESS_GROUP": "app",
            "CREATED_MACHINE_COUNT": "load",
            "INTERVAL": "1s",
            "APP_LIST_REFRESH_INTERVAL": "1s",
            "PROMETHEUS_ADDRESS": metrics.url,
            "PROMETHEUS_METRIC_NAME": "load",
            "PROMETHEUS_QUERY": "load",
        }
        environment |= {f"FAS_{name}": value for name, value in settings.items()}
        with TemporaryDirectory() as folder:
            await run([str(binary), "serve"], Path(folder), environment, meanwhile=scale)
    print(f"fly-autoscaler, {pattern}: machines {seen}, metric [1, 4, 1, 1]", flush=True)
    return seen == [1, 4, 1, 1]


async def _deployed(emulator: Emulator) -> None:
    group = {"fly_process_group": "app", "fly_platform_version": "v2"}
    machine = {"region": "iad", "config": {"image": "nginx", "metadata": group}}
    headers = {"Authorization": f"Bearer {emulator.token}"}
    connector = aiohttp.TCPConnector(ssl=emulator.ssl_context or True)
    async with aiohttp.ClientSession(emulator.url, headers=headers, connector=connector) as http:
        await http.post("/v1/apps", json={"app_name": "web-1", "org_slug": "personal"})
        await http.post("/v1/apps/web-1/machines", json=machine)
        # The autoscaler crashes without a release, and waits while one is running.
        release = await (await http.post("/api/v1/releases", json={"app_name": "web-1", "image": "nginx"})).json()
        await http.patch(f"/api/v1/releases/{release['release']['id']}", json={"status": "complete"})


def _started(emulator: Emulator) -> int:
    return sum(each.state == "started" for each in emulator.world.machines.values())


async def terraformed(provider: Path) -> bool:
    """Apply, plan and destroy; print the exit codes, and return whether nothing is left."""
    codes = []
    with TemporaryDirectory() as place:
        folder = Path(place)
        (folder / "main.tf").write_text(TERRAFORM)
        (folder / "terraformrc").write_text(OVERRIDES.format(folder=provider.parent))
        async with sandbox() as (emulator, environment):
            environment["TF_CLI_CONFIG_FILE"] = str(folder / "terraformrc")
            for words in (("apply", "-auto-approve"), ("plan", "-detailed-exitcode"), ("destroy", "-auto-approve")):
                ended = await run(["terraform", *words, "-no-color"], folder, environment)
                codes.append(ended.code)
                if ended.code:
                    print(ended.out, ended.err)
            left = list(emulator.world.apps)
    print(f"terraform apply, plan, destroy: exit {codes}; apps left: {left}", flush=True)
    return codes == [0, 0, 0] and not left


async def main() -> int:
    """Run the clients that are given, one after the other; return how many went wrong."""
    given = options(__doc__, autoscaler="", terraform_provider="")
    results = [await autoscaled(Path(given.autoscaler), each) for each in ("web-1", "web-*") if given.autoscaler]
    if given.terraform_provider:
        results.append(await terraformed(Path(given.terraform_provider).absolute()))  # noqa: ASYNC240 - no task waits
    return results.count(False)


if __name__ == "__main__":
    sys.exit(bool(asyncio.run(main())))
