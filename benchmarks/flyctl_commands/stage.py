"""The world in which one command runs: an app as flyctl deploys it, with one of everything that a command may need."""

import stat
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import aiohttp

from flyasync import Emulator

FILES = {
    "fly.toml": """app = "web"
primary_region = "iad"

[build]
image = "nginx"

[http_service]
internal_port = 8080
force_https = true
""",
    "chain.pem": "-----BEGIN CERTIFICATE-----\n-----END CERTIFICATE-----\n",
    "key.pem": "-----BEGIN PRIVATE KEY-----\n-----END PRIVATE KEY-----\n",
    "config/config.yml": "",
    "bin/xdg-open": "#!/bin/sh\nexit 0\n",
    ".config/Claude/claude_desktop_config.json": '{"mcpServers": {"web": {"command": "flyctl", '
    '"args": ["mcp", "proxy", "--url", "https://web.fly.dev/"]}}}',
}
"""The home of a command, and the directory in which it runs."""
DEFINITION = tomllib.loads(FILES["fly.toml"])
GUEST = {"cpu_kind": "shared", "cpus": 1, "memory_mb": 256}
GROUP = {"fly_platform_version": "v2", "fly_process_group": "app"}
PORTS = [{"port": 80, "handlers": ["http"], "force_https": True}, {"port": 443, "handlers": ["http", "tls"]}]
WEB = {
    "image": "nginx",
    "guest": GUEST,
    "metadata": {**GROUP, "fly_release_id": "1"},
    "services": [{"protocol": "tcp", "internal_port": 8080, "ports": PORTS}],
    "checks": {"up": {"type": "tcp", "port": 8080, "interval": "1s", "grace_period": "1s", "timeout": "1s"}},
}
POSTGRES = {"image": "flyio/postgres-flex:16", "guest": GUEST, "metadata": {**GROUP, "fly-managed-postgres": "true"}}
QUERY = """mutation { createOrganization(input: {name: "empty"}) { organization { id } }
    createLimitedAccessToken(input: {name: "ci", organizationId: "personal",
    profile: "deploy", profileParams: {app_id: "web"}}) { limitedAccessToken { id } }
    wide: createLimitedAccessToken(input: {name: "all", organizationId: "personal",
    profile: "deploy_organization"}) { limitedAccessToken { tokenHeader } } }"""


def home(directory: Path, given: Mapping[str, str], proxy: str) -> dict[str, str]:
    """Return the environment of a command that knows only this directory, the emulator and the proxy."""
    for name, text in FILES.items():
        file = directory / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)
        file.chmod(file.stat().st_mode | (stat.S_IXUSR if text.startswith("#!") else 0))
    own = {"HOME": str(directory), "FLY_CONFIG_DIR": str(directory / "config"), "NO_COLOR": "1"}
    return {**given, **own, "PATH": f"{directory}/bin:/usr/bin:/bin", "HTTPS_PROXY": proxy, "HTTP_PROXY": proxy}


async def furnish(emulator: Emulator) -> dict[str, str]:
    """Make the app and the rest; return what the arguments of commands name."""
    headers = {"Authorization": f"Bearer {emulator.token}"}
    async with aiohttp.ClientSession(emulator.url, headers=headers, raise_for_status=True) as session:

        async def post(path: str, body: Any, method: str = "POST") -> Any:
            async with session.request(method, path, json=body) as reply:
                return await reply.json() if reply.content_type == "application/json" else None

        for name, org, role in (("web", "personal", ""), ("shop", "acme", ""), ("pg", "personal", "postgres_cluster")):
            await post("/v1/apps", {"name": name, "org_slug": org, "app_role_id": role})
        body = {"config": WEB, "region": "iad"}
        machine = (await post("/v1/apps/web/machines", body))["id"]
        await post("/v1/apps/pg/machines", {"config": POSTGRES, "region": "iad"})
        stopped = await post("/v1/apps/web/machines", {**body, "skip_launch": True})
        await post(f"/v1/apps/web/machines/{machine}/wait?state=started", None, "GET")
        volume = await post("/v1/apps/web/volumes", {"name": "data", "region": "iad", "size_gb": 1})
        await post("/v1/apps/web/secrets", {"values": {"A": "1"}})
        await post("/v1/apps/web/certificates/acme", {"hostname": "example.com"})
        address = await post("/v1/apps/web/ip_assignments", {"type": "v4"})
        egress = await post("/v1/apps/web/ip_assignments", {"type": "egress-pair", "region": "iad"})
        release = {"app_name": "web", "image": "nginx", "strategy": "ROLLING", "definition": DEFINITION}
        made = (await post("/api/v1/releases", release))["release"]["id"]
        await post(f"/api/v1/releases/{made}", {"status": "complete"}, "PATCH")
        cluster = {"name": "db", "org_slug": "personal", "region": "iad", "plan": "basic", "disk_size_gb": 10}
        cluster_id = (await post("/v1/postgres", cluster))["data"]["id"]
        inside = f"/v1/postgres/{cluster_id}"
        await post(f"{inside}/attachments", {"app_name": "web"})
        await post(f"{inside}/databases/fly-db/extensions", {"name": "vector"})
        await post(f"{inside}/backups", {"type": "full"})
        (backup,) = (await post(f"{inside}/backups", None, "GET"))["data"]
        tokens = (await post("/graphql", {"query": QUERY}))["data"]
    return {
        "app": "web",
        "org": "personal",
        "other_org": "acme",
        "empty_org": "empty",
        "hostname": "example.com",
        "machine": machine,
        "stopped": stopped["id"],
        "volume": volume["id"],
        "cluster": cluster_id,
        "backup": backup["id"],
        "ip": address["ip"],
        "egress": egress["ip_pair"]["v4"],
        "token_id": tokens["createLimitedAccessToken"]["limitedAccessToken"]["id"],
        "header": tokens["wide"]["limitedAccessToken"]["tokenHeader"],
    }
