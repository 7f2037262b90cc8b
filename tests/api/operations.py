"""How the SDK asks for each operation of the document, and what it makes of the answer."""

from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from typing import Any

from attrs import Factory, frozen

from flyasync.api.client import FlyClient
from flyasync.models.app import AppList
from flyasync.models.certificate import CertificatePage
from flyasync.models.config import MachineConfig
from flyasync.models.guest import Guest
from flyasync.models.ip_assignment import IPAssignmentList
from flyasync.models.machine import OrgMachinePage
from flyasync.models.secret import SecretList
from flyasync.models.secret_key import KeyWork, SecretKeyList
from flyasync.models.token import TokenAccess, TokenInfoList
from flyasync.models.volume import OrgVolumePage

WHEN = "2026-01-01T00:00:00Z"
NAMES = {
    "app_name": "web",
    "machine_id": "m1",
    "volume_id": "vol_1",
    "hostname": "*.example.com",
    "ip": "2a09:8280:1::1",
    "key": "team/env",
    "org_slug": "personal",
    "postgres_cluster_id": "pg1",
    "database_name": "db",
    "extension_name": "uuid-ossp",
    "username": "ada",
    "secret_name": "DB",
}
CONFIG = MachineConfig(image="nginx", guest=Guest(cpus=1))
SHARED_FORMS = "the official client's name for it, sent beside the documented one"


def whole(answer: Any) -> Any:
    """Say that the method gives the whole answer."""
    return answer


def unread(_: Any) -> Any:
    """Say that the method gives nothing of the answer."""
    return None


def of(key: str) -> Callable[[Any], Any]:
    """Say that the method gives the list under one key."""
    return lambda answer: answer.get(key) or []


def data(answer: Any) -> Any:
    """Say that the method gives what is in the envelope."""
    return answer["data"]


@frozen
class Operation:
    """One operation: how to ask for it, with everything that can be asked.

    `left_out` are names of the document that are not sent, `besides` names that are sent and are not in the document,
    each with the reason. `gives` is what the result must be once it is written as JSON; `model` reads the whole answer
    where the method gives a part of it.
    """

    ask: Callable[[FlyClient], Awaitable[Any] | AsyncIterator[Any]]
    gives: Callable[[Any], Any] = whole
    model: Any = None
    left_out: Mapping[str, str] = Factory(dict)
    besides: Mapping[str, str] = Factory(dict)


def _ignore(_: object) -> None:
    pass


_LISTED: dict[str, Any] = {
    "region": "iad", "state": ("started", "stopped"), "updated_after": WHEN, "include_deleted": True, "summary": True,
    "limit": 10, "on_error_regions": _ignore,
}  # fmt: skip
_CURSOR = {"cursor": "sent from the second page on"}
_LAUNCH: dict[str, Any] = {
    "skip_launch": True, "skip_service_registration": True, "lease_ttl": 30, "skip_secrets": True,
    "min_secrets_version": 3,
}  # fmt: skip

APPS = {
    "createApp": Operation(
        lambda fly: fly.apps.create("web", org_slug="personal", network="net", enable_subdomains=True),
        gives=lambda answer: {"name": "web", **answer},
        besides={
            "wait": "the official client's way to be answered once all of Fly.io knows the app",
            "app_name": "the name that the pages of Fly.io give to `name`",
        },
    ),
    "listApps": Operation(lambda fly: fly.apps.list("personal", app_role="x"), gives=of("apps"), model=AppList),
    "getApp": Operation(lambda fly: fly.apps.get("web")),
    "deleteApp": Operation(
        lambda fly: fly.apps.delete("web", force=True), gives=unread, besides={"force": "documented by Fly.io's pages"}
    ),
    "createAppDeployToken": Operation(
        lambda fly: fly.apps.create_deploy_token("web", expiry=86400), gives=lambda answer: answer["token"]
    ),
}
MACHINES = {
    "listMachines": Operation(
        lambda fly: fly.machines.list(
            "web", region="iad", state="started", metadata={"{key}": "v"}, include_deleted=True, include_leases=True,
            summary=True,
        ),
    ),
    "createMachine": Operation(
        lambda fly: fly.machines.create("web", CONFIG, name="one", region=("iad", "eu"), **_LAUNCH)
    ),
    "getMachine": Operation(lambda fly: fly.machines.get("web", "m1", include_leases=True)),
    "updateMachine": Operation(
        lambda fly: fly.machines.update("web", "m1", CONFIG, current_version="01H", **_LAUNCH),
        left_out={"name": "it cannot change", "region": "it cannot change"},
    ),
    "deleteMachine": Operation(lambda fly: fly.machines.delete("web", "m1", force=True), gives=unread),
    "startMachine": Operation(lambda fly: fly.machines.start("web", "m1")),
    "stopMachine": Operation(lambda fly: fly.machines.stop("web", "m1", signal="SIGINT", timeout=5), gives=unread),
    "restartMachine": Operation(
        lambda fly: fly.machines.restart("web", "m1", signal="SIGINT", timeout=5, force_stop=True),
        gives=unread,
        besides={"force_stop": "the official client sends it"},
    ),
    "suspendMachine": Operation(lambda fly: fly.machines.suspend("web", "m1"), gives=unread),
    "signalMachine": Operation(lambda fly: fly.machines.signal("web", "m1", "SIGTERM"), gives=unread),
    "cordonMachine": Operation(lambda fly: fly.machines.cordon("web", "m1"), gives=unread),
    "uncordonMachine": Operation(lambda fly: fly.machines.uncordon("web", "m1"), gives=unread),
    "waitMachine": Operation(
        lambda fly: fly.machines.wait_once("web", "m1", version="01H", from_event_id="e1", timeout=10),
        left_out={"instance_id": "the older name of version"},
    ),
    "listMachineEvents": Operation(lambda fly: fly.machines.events("web", "m1", limit=50)),
    "listMachineVersions": Operation(lambda fly: fly.machines.versions("web", "m1")),
    "execMachine": Operation(
        lambda fly: fly.machines.exec(
            "web", "m1", ["ls"], timeout=9.5, stdin="in", container="web", machine=False
        ),
        left_out={"cmd": "the form for a command that is one text"},
    ),
    "listMachineProcesses": Operation(lambda fly: fly.machines.ps("web", "m1", sort_by="cpu", order="desc")),
    "getMachineMemory": Operation(lambda fly: fly.machines.memory("web", "m1")),
    "setMachineMemoryLimit": Operation(lambda fly: fly.machines.set_memory("web", "m1", limit_mb=512)),
    "reclaimMachineMemory": Operation(
        lambda fly: fly.machines.reclaim_memory("web", "m1", amount_mb=64),
        gives=lambda answer: answer.get("actual_mb") or 0,
    ),
    "getMachineMetadata": Operation(lambda fly: fly.machines.metadata("web", "m1")),
    "getMachineMetadataKey": Operation(
        lambda fly: fly.machines.get_metadata("web", "m1", "team/env"), gives=lambda answer: answer.get("value") or ""
    ),
    "upsertMachineMetadata": Operation(
        lambda fly: fly.machines.set_metadata("web", "m1", "team/env", "v", updated_at=WHEN), gives=unread
    ),
    "deleteMachineMetadata": Operation(
        lambda fly: fly.machines.delete_metadata("web", "m1", "team/env"), gives=unread
    ),
    "patchMachineMetadata": Operation(
        lambda fly: fly.machines.patch_metadata("web", "m1", {"a": None}, machine_version="01H", updated_at=WHEN),
        gives=unread,
    ),
    "updateMachineMetadata": Operation(
        lambda fly: fly.machines.put_metadata("web", "m1", {"a": "1"}, machine_version="01H", updated_at=WHEN),
        gives=unread,
    ),
    "listMachinesOrg": Operation(
        lambda fly: fly.machines.list_org("personal", **_LISTED),
        gives=of("machines"), model=OrgMachinePage, left_out=_CURSOR,
    ),
    "createMachineLease": Operation(
        lambda fly: fly.leases.acquire("web", "m1", ttl=30, description="mine"),
        besides={"ttl": "the official client sends it in the query"},
    ),
    "getMachineLease": Operation(lambda fly: fly.leases.get("web", "m1")),
    "machinesReleaseLease": Operation(lambda fly: fly.leases.release("web", "m1", "n"), gives=unread),
}  # fmt: skip
VOLUMES = {
    "listVolumes": Operation(lambda fly: fly.volumes.list("web", summary=True)),
    "createVolume": Operation(
        lambda fly: fly.volumes.create(
            "web", name="data", region="iad", size_gb=1, encrypted=True, fstype="ext4", require_unique_zone=True,
            unique_zone_app_wide=True, snapshot_id="vs_1", source_volume_id="vol_0", snapshot_retention=5,
            auto_backup_enabled=True, compute=Guest(cpus=1), compute_image="nginx",
        ),
    ),
    "getVolumeById": Operation(lambda fly: fly.volumes.get("web", "vol_1")),
    "updateVolume": Operation(
        lambda fly: fly.volumes.update("web", "vol_1", snapshot_retention=5, auto_backup_enabled=False)
    ),
    "deleteVolume": Operation(lambda fly: fly.volumes.delete("web", "vol_1")),
    "extendVolume": Operation(lambda fly: fly.volumes.extend("web", "vol_1", size_gb=20)),
    "listVolumeSnapshots": Operation(lambda fly: fly.volumes.snapshots("web", "vol_1")),
    "createVolumeSnapshot": Operation(lambda fly: fly.volumes.create_snapshot("web", "vol_1"), gives=unread),
    "listVolumesOrg": Operation(
        lambda fly: fly.volumes.list_org("personal", **_LISTED),
        gives=of("volumes"), model=OrgVolumePage, left_out=_CURSOR,
    ),
}  # fmt: skip
_VERSION = {"version": SHARED_FORMS}
SECRETS = {
    "listSecrets": Operation(
        lambda fly: fly.secrets.list("web", show_secrets=True, min_version=3),
        gives=of("secrets"), model=SecretList, besides=_VERSION,
    ),
    "getSecret": Operation(
        lambda fly: fly.secrets.get("web", "DB", show_secrets=True, min_version=3), besides=_VERSION
    ),
    "createSecret": Operation(lambda fly: fly.secrets.set("web", "DB", "v")),
    "updateSecrets": Operation(lambda fly: fly.secrets.update("web", {"A": "1", "B": None})),
    "deleteSecret": Operation(lambda fly: fly.secrets.delete("web", "DB")),
    "listSecretKeys": Operation(
        lambda fly: fly.secret_keys.list("web", types=("hs256", "es256"), min_version=3),
        gives=of("secret_keys"), model=SecretKeyList,
    ),
    "getSecretKey": Operation(lambda fly: fly.secret_keys.get("web", "DB", min_version=3)),
    "setSecretKey": Operation(lambda fly: fly.secret_keys.set("web", "DB", type="hs256", value=b"k")),
    "generateSecretKey": Operation(
        lambda fly: fly.secret_keys.generate("web", "DB", type="hs256"),
        left_out={"value": "the platform makes it"},
    ),
    "deleteSecretKey": Operation(lambda fly: fly.secret_keys.delete("web", "DB")),
    "encryptSecretKey": Operation(
        lambda fly: fly.secret_keys.encrypt("web", "DB", b"p", associated_data=b"a", min_version=3),
        gives=lambda answer: answer["ciphertext"], model=KeyWork,
    ),
    "decryptSecretKey": Operation(
        lambda fly: fly.secret_keys.decrypt("web", "DB", b"c", associated_data=b"a", min_version=3),
        gives=lambda answer: answer["plaintext"], model=KeyWork,
    ),
    "signSecretKey": Operation(
        lambda fly: fly.secret_keys.sign("web", "DB", b"p", min_version=3),
        gives=lambda answer: answer["signature"], model=KeyWork,
    ),
    "verifySecretKey": Operation(
        lambda fly: fly.secret_keys.verify("web", "DB", b"p", b"s", min_version=3), gives=unread
    ),
}  # fmt: skip
CERTIFICATES = {
    "listAppCertificates": Operation(
        lambda fly: fly.certificates.list("web", filter="example", limit=100),
        gives=of("certificates"), model=CertificatePage, left_out=_CURSOR,
    ),
    "getAppCertificate": Operation(lambda fly: fly.certificates.get("web", "*.example.com")),
    "createAppAcmeCertificate": Operation(lambda fly: fly.certificates.create_acme("web", "*.example.com")),
    "createAppCustomCertificate": Operation(
        lambda fly: fly.certificates.create_custom("web", "*.example.com", fullchain="c", private_key="k")
    ),
    "checkAppCertificate": Operation(lambda fly: fly.certificates.check("web", "*.example.com")),
    "deleteAppCertificate": Operation(lambda fly: fly.certificates.delete("web", "*.example.com"), gives=unread),
    "deleteAppAcmeCertificate": Operation(lambda fly: fly.certificates.delete_acme("web", "*.example.com")),
    "deleteAppCustomCertificate": Operation(lambda fly: fly.certificates.delete_custom("web", "*.example.com")),
    "listAppIPAssignments": Operation(
        lambda fly: fly.ip_assignments.list("web"), gives=of("ips"), model=IPAssignmentList
    ),
    "createAppIPAssignment": Operation(
        lambda fly: fly.ip_assignments.create(
            "web", type="private_v6", region="iad", org_slug="personal", network="net", service_name="s"
        )
    ),
    "deleteAppIPAssignment": Operation(
        lambda fly: fly.ip_assignments.delete("web", "2a09:8280:1::1"), gives=unread
    ),
}  # fmt: skip
PLATFORM = {
    "authenticateToken": Operation(lambda fly: fly.tokens.authenticate("FlyV1 fm2_x")),
    "authorizeToken": Operation(
        lambda fly: fly.tokens.authorize("FlyV1 fm2_x", TokenAccess(action="rw", org_slug="personal", command=["ls"]))
    ),
    "getCurrentToken": Operation(lambda fly: fly.tokens.current(), gives=of("tokens"), model=TokenInfoList),
    "requestOidcToken": Operation(lambda fly: fly.tokens.oidc(aud="https://example.com", aws_principal_tags=True), str),
    "requestKmsToken": Operation(lambda fly: fly.tokens.kms(), str),
    "getRegions": Operation(lambda fly: fly.platform.regions()),
    "getPlacements": Operation(
        lambda fly: fly.platform.placements(
            "personal", region="iad,eu", count=3, compute=Guest(cpus=1), volume_name="data", volume_size_bytes=1,
            weights={"region": 50},
        )
    ),
}  # fmt: skip
POSTGRES = {
    "listPostgres": Operation(lambda fly: fly.postgres.list("personal", include_deleted=True), data),
    "createPostgres": Operation(
        lambda fly: fly.postgres.create(
            "personal", region="iad", plan="basic", name="pg", disk_size_gb=10, pg_major_version="17",
            pool_mode="session", postgis_enabled=True,
        ),
        data,
    ),
    "getPostgres": Operation(lambda fly: fly.postgres.get("pg1"), data),
    "deletePostgres": Operation(lambda fly: fly.postgres.delete("pg1"), unread),
    "forkPostgres": Operation(lambda fly: fly.postgres.fork("pg1", name="two"), data),
    "restorePostgres": Operation(
        lambda fly: fly.postgres.restore("pg1", backup_id="b1", name="two"),
        data,
        left_out={"pitr_time": "the other way to say what to restore from"},
    ),
    "createPostgresAttachment": Operation(lambda fly: fly.postgres.attach("pg1", "web"), data),
    "deletePostgresAttachment": Operation(lambda fly: fly.postgres.detach("pg1", "web"), unread),
    "createPostgresBackup": Operation(lambda fly: fly.postgres.create_backup("pg1", type="full"), unread),
    "listPostgresBackups": Operation(lambda fly: fly.postgres.list_backups("pg1"), data),
    "createPostgresDatabase": Operation(lambda fly: fly.postgres.create_database("pg1", "db"), data),
    "listPostgresDatabases": Operation(lambda fly: fly.postgres.list_databases("pg1"), data),
    "deletePostgresDatabase": Operation(lambda fly: fly.postgres.delete_database("pg1", "db"), data),
    "listPostgresExtensions": Operation(lambda fly: fly.postgres.list_extensions("pg1", "db"), data),
    "enablePostgresExtension": Operation(
        lambda fly: fly.postgres.enable_extension("pg1", "db", "uuid-ossp", schema="s", create_schema=True), unread
    ),
    "disablePostgresExtension": Operation(
        lambda fly: fly.postgres.disable_extension("pg1", "db", "uuid-ossp", force=True), unread
    ),
    "listPostgresActiveQueries": Operation(lambda fly: fly.postgres.list_active_queries("pg1", "db"), data),
    "listPostgresSlowQueries": Operation(lambda fly: fly.postgres.list_slow_queries("pg1", range=3600), data),
    "createPostgresUser": Operation(lambda fly: fly.postgres.create_user("pg1", "ada", role="writer"), data),
    "listPostgresUsers": Operation(lambda fly: fly.postgres.list_users("pg1"), data),
    "updatePostgresUserRole": Operation(lambda fly: fly.postgres.update_user_role("pg1", "ada", role="reader"), unread),
    "deletePostgresUser": Operation(lambda fly: fly.postgres.delete_user("pg1", "ada"), unread),
    "postgresUsersCredentials": Operation(lambda fly: fly.postgres.user_credentials("pg1", "ada"), data),
    "rotatePostgresUserPassword": Operation(
        lambda fly: fly.postgres.rotate_password("pg1", "ada", kill_sessions=True), data
    ),
}  # fmt: skip
TABLE: dict[str, Operation] = {
    **APPS, **MACHINES, **VOLUMES, **SECRETS, **CERTIFICATES, **PLATFORM, **POSTGRES,
}  # fmt: skip
