"""Every operation of the API returns a response in the format of the API document."""

import asyncio
import re
from typing import Any

import pytest
from attrs import frozen

from flyasync.emulator.core.operations import Operation, operations
from tests.emulator.driver import Api, serving
from tests.emulator.shapes import complaints, named

SEALING = {"type": "xaes256gcm"}
PEM = {"fullchain": "-----BEGIN CERTIFICATE-----", "private_key": "-----BEGIN PRIVATE KEY-----"}
CONFIG = {"image": "nginx", "services": [{"protocol": "tcp", "internal_port": 80, "autostop": "stop"}]}
PLAIN = "aGVsbG8="
CLUSTER = {"org_slug": "personal", "name": "db", "region": "iad", "plan": "basic"}

BODIES: dict[str, Any] = {
    "createApp": {"name": "other", "org_slug": "personal"},
    "createAppAcmeCertificate": {"hostname": "new.example.com"},
    "createAppCustomCertificate": {"hostname": "new.example.com", **PEM},
    "createAppDeployToken": {"expiry": "24h"},
    "createAppIPAssignment": {"type": "v4"},
    "createMachine": {"config": CONFIG},
    "updateMachine": {"config": CONFIG},
    "execMachine": {"command": ["echo", "hello"]},
    "setMachineMemoryLimit": {"limit_mb": 128},
    "reclaimMachineMemory": {"amount_mb": 64},
    "patchMachineMetadata": {"metadata": {"a": "b"}},
    "updateMachineMetadata": {"metadata": {"a": "b"}},
    "upsertMachineMetadata": {"value": "b"},
    "signalMachine": {"signal": "SIGUSR1"},
    "setSecretKey": {**SEALING, "value": PLAIN},
    "generateSecretKey": SEALING,
    "encryptSecretKey": {"plaintext": PLAIN},
    "signSecretKey": {"plaintext": PLAIN},
    "updateSecrets": {"values": {"A": "1"}},
    "createSecret": {"value": "1"},
    "createVolume": {"name": "data", "region": "iad"},
    "updateVolume": {"snapshot_retention": 9},
    "extendVolume": {"size_gb": 9},
    "getPlacements": {"org_slug": "personal", "count": 1},
    "createPostgres": {**CLUSTER, "name": "db2"},
    "createPostgresAttachment": {"app_name": "web"},
    "createPostgresBackup": {"type": "full"},
    "createPostgresDatabase": {"name": "more"},
    "enablePostgresExtension": {"name": "pg_trgm"},
    "forkPostgres": {"name": "copy"},
    "createPostgresUser": {"username": "bob", "role": "reader"},
    "updatePostgresUserRole": {"role": "writer"},
    "authenticateToken": {"header": "FlyV1 fm2_a"},
    "authorizeToken": {"header": "FlyV1 fm2_a", "access": {"action": "rw", "app_name": "web"}},
    "requestOidcToken": {"aud": "https://example.com"},
    "createRelease": {"app_name": "web", "image": "nginx", "strategy": "ROLLING"},
    "updateRelease": {"status": "complete"},
    "mpgCreate": {"name": "db3", "region": "iad", "plan": "basic", "storage_in_gb": 10},
    "mpgBackUp": {},
    "mpgCreateUser": {"user_name": "bob", "db_name": "fly-db"},
    "mpgSetRole": {"role": "writer"},
}
QUERIES = {
    "listApps": "?org_slug=personal", "listPostgres": "?org_slug=personal", "waitMachine": "?state=started",
    "listPostgresActiveQueries": "?database=fly-db", "listPostgresSlowQueries": "?range=3600",
}  # fmt: skip
TEXTS = {"requestKmsToken", "requestOidcToken"}
EMPTY = {
    "deleteApp": 202, "deletePostgres": 202, "createPostgresBackup": 202,
    **dict.fromkeys(
        [
            "deleteAppCertificate", "deleteAppIPAssignment", "deleteMachineMetadata", "enablePostgresExtension",
            "deletePostgresAttachment", "deletePostgresUser", "disablePostgresExtension", "patchMachineMetadata",
            "updateMachineMetadata", "updatePostgresUserRole", "upsertMachineMetadata", "verifySecretKey",
        ],
        204,
    ),
}  # fmt: skip
LEASES = {"createMachineLease", "getMachineLease"}
CREATED = {
    "createApp", "createSecret", "createAppAcmeCertificate", "createAppCustomCertificate", "createMachineLease",
    "setSecretKey", "generateSecretKey", "createPostgres", "createPostgresDatabase", "createPostgresUser",
    "forkPostgres", "restorePostgres",
}  # fmt: skip


@frozen
class Place:
    """A world with one resource of each kind: the values of path parameters, and bodies that depend on them."""

    params: dict[str, str]
    bodies: dict[str, Any]

    def path(self, pattern: str, action: str) -> str:
        key = "signer" if action in {"signSecretKey", "verifySecretKey"} else "cipher"
        names = self.params | ({"secret_name": key} if "secretkeys" in pattern else {})
        return re.sub(r"{(\w+)}", lambda found: names[found[1]], pattern)


async def one_of_everything(api: Api) -> Place:
    await api.app()
    app = "/v1/apps/web"
    machine = await api.running(config={"services": CONFIG["services"], "metadata": {"a": "b"}}, lease_ttl=600)
    volume = (await api.post(f"{app}/volumes", {"name": "data", "region": "iad"})).body
    await api.post(f"{app}/volumes/{volume['id']}/snapshots")
    await api.post(f"{app}/secrets/S", {"value": "v"})
    await api.post(f"{app}/secretkeys/cipher/generate", {"type": "xaes256gcm"})
    await api.post(f"{app}/secretkeys/signer/generate", {"type": "es256"})
    sealed = (await api.post(f"{app}/secretkeys/cipher/encrypt", {"plaintext": PLAIN})).body
    signed = (await api.post(f"{app}/secretkeys/signer/sign", {"plaintext": PLAIN})).body
    await api.post(f"{app}/certificates/acme", {"hostname": "a.example.com"})
    await api.post(f"{app}/certificates/custom", {"hostname": "a.example.com", **PEM})
    address = (await api.post(f"{app}/ip_assignments", {"type": "v6"})).body
    cluster = (await api.post("/v1/postgres", CLUSTER)).body["data"]
    inside = f"/v1/postgres/{cluster['id']}"
    await api.post(f"{inside}/attachments", {"app_name": "web"})
    await api.post(f"{inside}/databases/fly-db/extensions", {"name": "vector"})
    await api.post(f"{inside}/backups", {"type": "full"})
    (backup,) = (await api.get(f"{inside}/backups")).body["data"]
    release = (await api.post("/api/v1/releases", {"app_name": "web", "image": "nginx"})).body["release"]
    await asyncio.sleep(60)  # the cluster is ready, and the backup is finished
    return Place(
        {
            "app_name": "web", "machine_id": machine["id"], "volume_id": volume["id"], "key": "a", "secret_name": "S",
            "hostname": "a.example.com", "ip": address["ip"], "org_slug": "personal",
            "postgres_cluster_id": cluster["id"], "database_name": "fly-db", "extension_name": "vector",
            "username": "fly-user", "nonce": machine["nonce"], "release_id": release["id"],
        },
        {
            "decryptSecretKey": sealed,
            "verifySecretKey": {"plaintext": PLAIN, **signed},
            "restorePostgres": {"backup_id": backup["id"]},
            "mpgRestore": {"backup_id": backup["id"], "name": "db4"},
        },
    )  # fmt: skip


async def prepare(api: Api, place: Place, action: str) -> None:
    machine = place.path("/v1/apps/{app_name}/machines/{machine_id}", action)
    if action == "startMachine":
        await api.post(f"{machine}/stop", headers=held(place))
        await api.get(f"{machine}/wait?state=stopped")
        await asyncio.sleep(2)
    if action == "promoteEgressIP":
        given = f'appId: "web", machineId: "{place.params["machine_id"]}"'
        query = f"mutation {{ allocateEgressIpAddress(input: {{{given}}}) {{ v4 }} }}"
        said = await api.post("/graphql", {"query": query})
        place.params["ip"] = said.body["data"]["allocateEgressIpAddress"]["v4"]
    if action == "createMachineLease":
        await api.ask("DELETE", f"{machine}/lease", headers=held(place))


@pytest.mark.parametrize("operation", list(operations()), ids=lambda operation: operation.action)
async def test_every_operation_answers_in_its_shape(operation: Operation) -> None:
    action = operation.action
    async with serving(limits=False, boot=(1, 1)) as api:
        place = await one_of_everything(api)
        await prepare(api, place, action)
        path = place.path(operation.path, action) + QUERIES.get(action, "?force=true&include_leases=true")
        body = place.bodies.get(action, BODIES.get(action))
        headers = {} if action == "createMachineLease" else held(place)
        said = await api.ask(operation.method, path, headers=headers, **({} if body is None else {"json": body}))
    assert said.status == EMPTY.get(action, 201 if action in CREATED else 200), said
    if action in EMPTY:
        assert said.body == ""
    elif action in TEXTS:
        assert said.headers["Content-Type"].startswith("text/plain")
    else:
        assert complaints(action, said.body["data"] if action in LEASES else said.body) == []


def held(place: Place) -> dict[str, str]:
    return {"fly-machine-lease-nonce": place.params["nonce"]}


def test_the_table_is_that_of_the_document() -> None:
    assert {operation.action: (operation.method, operation.path) for operation in operations()} == named()
