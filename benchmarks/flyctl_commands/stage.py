"""The world in which one command runs: an app as flyctl deploys it, with one of everything that a command may need."""

from typing import Any

import aiohttp
from attrs import frozen

from flyasync import Emulator

TOML = """app = "web"
primary_region = "iad"

[build]
image = "nginx"

[http_service]
internal_port = 8080
force_https = true
"""
DEFINITION = {
    "app": "web",
    "primary_region": "iad",
    "build": {"image": "nginx"},
    "http_service": {"internal_port": 8080, "force_https": True},
}
SERVICE = {
    "protocol": "tcp",
    "internal_port": 8080,
    "ports": [
        {"port": 80, "handlers": ["http"], "force_https": True},
        {"port": 443, "handlers": ["http", "tls"]},
    ],
}

POSTGRES = {
    "region": "iad",
    "config": {
        "image": "flyio/postgres-flex:16",
        "guest": {"cpu_kind": "shared", "cpus": 1, "memory_mb": 256},
        "metadata": {"fly_platform_version": "v2", "fly_process_group": "app", "fly-managed-postgres": "true"},
    },
}


@frozen(kw_only=True)
class Things:
    """What the arguments of commands name."""

    app: str = "web"
    org: str = "personal"
    other_org: str = "acme"
    empty_org: str = "empty"
    hostname: str = "example.com"
    machine: str
    stopped: str
    volume: str
    cluster: str
    ip: str
    egress: str
    token_id: str
    header: str
    backup: str


async def furnish(emulator: Emulator) -> Things:
    """Make the app and the rest."""
    headers = {"Authorization": f"Bearer {emulator.token}"}
    async with aiohttp.ClientSession(emulator.url, headers=headers, raise_for_status=True) as session:

        async def post(path: str, body: Any) -> Any:
            async with session.post(path, json=body) as reply:
                return await reply.json() if reply.content_type == "application/json" else None

        for name, org, role in (("web", "personal", ""), ("shop", "acme", ""), ("pg", "personal", "postgres_cluster")):
            await post("/v1/apps", {"name": name, "org_slug": org, "app_role_id": role})
        config = {
            "image": "nginx",
            "guest": {"cpu_kind": "shared", "cpus": 1, "memory_mb": 256},
            "metadata": {"fly_platform_version": "v2", "fly_process_group": "app", "fly_release_id": "1"},
            "services": [SERVICE],
            "checks": {"up": {"type": "tcp", "port": 8080, "interval": "1s", "grace_period": "1s", "timeout": "1s"}},
        }
        body = {"config": config, "region": "iad"}
        machine = await post("/v1/apps/web/machines", body)
        await post("/v1/apps/pg/machines", POSTGRES)
        stopped = await post("/v1/apps/web/machines", {**body, "skip_launch": True})
        async with session.get(f"/v1/apps/web/machines/{machine['id']}/wait?state=started"):
            pass
        volume = await post("/v1/apps/web/volumes", {"name": "data", "region": "iad", "size_gb": 1})
        await post("/v1/apps/web/secrets", {"values": {"A": "1"}})
        await post("/v1/apps/web/certificates/acme", {"hostname": "example.com"})
        address = await post("/v1/apps/web/ip_assignments", {"type": "v4"})
        egress = await post("/v1/apps/web/ip_assignments", {"type": "egress-pair", "region": "iad"})
        release = {"app_name": "web", "image": "nginx", "strategy": "ROLLING", "definition": DEFINITION}
        made = (await post("/api/v1/releases", release))["release"]["id"]
        async with session.patch(f"/api/v1/releases/{made}", json={"status": "complete"}):
            pass
        cluster = await post(
            "/v1/postgres", {"name": "db", "org_slug": "personal", "region": "iad", "plan": "basic", "disk_size_gb": 10}
        )
        inside = f"/v1/postgres/{cluster['data']['id']}"
        await post(f"{inside}/attachments", {"app_name": "web"})
        await post(f"{inside}/databases/fly-db/extensions", {"name": "vector"})
        await post(f"{inside}/backups", {"type": "full"})
        async with session.get(f"{inside}/backups") as reply:
            (backup,) = (await reply.json())["data"]
        org = 'mutation { createOrganization(input: {name: "empty"}) { organization { id } } }'
        await post("/graphql", {"query": org})
        document = """mutation { createLimitedAccessToken(input: {name: "ci", organizationId: "personal",
            profile: "deploy", profileParams: {app_id: "web"}}) { limitedAccessToken { id } }
            wide: createLimitedAccessToken(input: {name: "all", organizationId: "personal",
            profile: "deploy_organization"}) { limitedAccessToken { tokenHeader } } }"""
        tokens = (await post("/graphql", {"query": document}))["data"]
        return Things(
            machine=machine["id"],
            stopped=stopped["id"],
            volume=volume["id"],
            backup=backup["id"],
            cluster=cluster["data"]["id"],
            ip=address["ip"],
            egress=egress["ip_pair"]["v4"],
            token_id=tokens["createLimitedAccessToken"]["limitedAccessToken"]["id"],
            header=tokens["wide"]["limitedAccessToken"]["tokenHeader"],
        )
