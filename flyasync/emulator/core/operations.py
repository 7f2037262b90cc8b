"""Every operation of the API: its method and path, its name, and the identifier that its rate limit counts for."""

from collections.abc import Iterator, Mapping

from attrs import frozen


@frozen
class Operation:
    """One method on one path, under the API's own name."""

    method: str
    path: str
    action: str


# The prefixes of most paths: apps, machines, volumes, certificates, secret keys, Postgres.
_A = "/v1/apps/{app_name}"
_M = "/v1/apps/{app_name}/machines/{machine_id}"
_V = "/v1/apps/{app_name}/volumes/{volume_id}"
_C = "/v1/apps/{app_name}/certificates"
_K = "/v1/apps/{app_name}/secretkeys"
_P = "/v1/postgres/{postgres_cluster_id}"

_TABLE: Mapping[str, Mapping[str, str]] = {
    "/v1/apps": {"GET": "listApps", "POST": "createApp"},
    _A: {"DELETE": "deleteApp", "GET": "getApp"},
    _C: {"GET": "listAppCertificates"},
    _C + "/acme": {"POST": "createAppAcmeCertificate"},
    _C + "/custom": {"POST": "createAppCustomCertificate"},
    _C + "/{hostname}": {"DELETE": "deleteAppCertificate", "GET": "getAppCertificate"},
    _C + "/{hostname}/acme": {"DELETE": "deleteAppAcmeCertificate"},
    _C + "/{hostname}/check": {"POST": "checkAppCertificate"},
    _C + "/{hostname}/custom": {"DELETE": "deleteAppCustomCertificate"},
    _A + "/deploy_token": {"POST": "createAppDeployToken"},
    _A + "/ip_assignments": {"GET": "listAppIPAssignments", "POST": "createAppIPAssignment"},
    _A + "/ip_assignments/{ip}": {"DELETE": "deleteAppIPAssignment"},
    _A + "/machines": {"GET": "listMachines", "POST": "createMachine"},
    _M: {"DELETE": "deleteMachine", "GET": "getMachine", "POST": "updateMachine"},
    _M + "/cordon": {"POST": "cordonMachine"},
    _M + "/events": {"GET": "listMachineEvents"},
    _M + "/exec": {"POST": "execMachine"},
    _M + "/lease": {"DELETE": "machinesReleaseLease", "GET": "getMachineLease", "POST": "createMachineLease"},
    _M + "/memory": {"GET": "getMachineMemory", "PUT": "setMachineMemoryLimit"},
    _M + "/memory/reclaim": {"POST": "reclaimMachineMemory"},
    _M + "/metadata": {"GET": "getMachineMetadata", "PATCH": "patchMachineMetadata", "PUT": "updateMachineMetadata"},
    _M + "/metadata/{key}": {
        "DELETE": "deleteMachineMetadata",
        "GET": "getMachineMetadataKey",
        "POST": "upsertMachineMetadata",
    },
    _M + "/ps": {"GET": "listMachineProcesses"},
    _M + "/restart": {"POST": "restartMachine"},
    _M + "/signal": {"POST": "signalMachine"},
    _M + "/start": {"POST": "startMachine"},
    _M + "/stop": {"POST": "stopMachine"},
    _M + "/suspend": {"POST": "suspendMachine"},
    _M + "/uncordon": {"POST": "uncordonMachine"},
    _M + "/versions": {"GET": "listMachineVersions"},
    _M + "/wait": {"GET": "waitMachine"},
    _K: {"GET": "listSecretKeys"},
    _K + "/{secret_name}": {"DELETE": "deleteSecretKey", "GET": "getSecretKey", "POST": "setSecretKey"},
    _K + "/{secret_name}/decrypt": {"POST": "decryptSecretKey"},
    _K + "/{secret_name}/encrypt": {"POST": "encryptSecretKey"},
    _K + "/{secret_name}/generate": {"POST": "generateSecretKey"},
    _K + "/{secret_name}/sign": {"POST": "signSecretKey"},
    _K + "/{secret_name}/verify": {"POST": "verifySecretKey"},
    _A + "/secrets": {"GET": "listSecrets", "POST": "updateSecrets"},
    _A + "/secrets/{secret_name}": {"DELETE": "deleteSecret", "GET": "getSecret", "POST": "createSecret"},
    _A + "/volumes": {"GET": "listVolumes", "POST": "createVolume"},
    _V: {"DELETE": "deleteVolume", "GET": "getVolumeById", "PUT": "updateVolume"},
    _V + "/extend": {"PUT": "extendVolume"},
    _V + "/snapshots": {"GET": "listVolumeSnapshots", "POST": "createVolumeSnapshot"},
    "/v1/orgs/{org_slug}/machines": {"GET": "listMachinesOrg"},
    "/v1/orgs/{org_slug}/volumes": {"GET": "listVolumesOrg"},
    "/v1/platform/placements": {"POST": "getPlacements"},
    "/v1/platform/regions": {"GET": "getRegions"},
    "/v1/postgres": {"GET": "listPostgres", "POST": "createPostgres"},
    _P: {"DELETE": "deletePostgres", "GET": "getPostgres"},
    _P + "/attachments": {"POST": "createPostgresAttachment"},
    _P + "/attachments/{app_name}": {"DELETE": "deletePostgresAttachment"},
    _P + "/backups": {"GET": "listPostgresBackups", "POST": "createPostgresBackup"},
    _P + "/databases": {"GET": "listPostgresDatabases", "POST": "createPostgresDatabase"},
    _P + "/databases/{database_name}": {"DELETE": "deletePostgresDatabase"},
    _P + "/databases/{database_name}/extensions": {"GET": "listPostgresExtensions", "POST": "enablePostgresExtension"},
    _P + "/databases/{database_name}/extensions/{extension_name}": {"DELETE": "disablePostgresExtension"},
    _P + "/fork": {"POST": "forkPostgres"},
    _P + "/queries/active": {"GET": "listPostgresActiveQueries"},
    _P + "/queries/slow": {"GET": "listPostgresSlowQueries"},
    _P + "/restore": {"POST": "restorePostgres"},
    _P + "/users": {"GET": "listPostgresUsers", "POST": "createPostgresUser"},
    _P + "/users/{username}": {"DELETE": "deletePostgresUser", "PATCH": "updatePostgresUserRole"},
    _P + "/users/{username}/credentials": {"GET": "postgresUsersCredentials"},
    _P + "/users/{username}/rotate_password": {"POST": "rotatePostgresUserPassword"},
    "/v1/tokens/authenticate": {"POST": "authenticateToken"},
    "/v1/tokens/authorize": {"POST": "authorizeToken"},
    "/v1/tokens/current": {"GET": "getCurrentToken"},
    "/v1/tokens/kms": {"POST": "requestKmsToken"},
    "/v1/tokens/oidc": {"POST": "requestOidcToken"},
}

_MPG = "/api/v1/postgres/{postgres_cluster_id}"
# Served at the same address here, but by api.fly.io at Fly. The published limits do not cover them.
_COMPANIONS = (
    Operation("POST", "/graphql", "graphql"),
    Operation("POST", "/api/v1/apps/{app_name}/egress_ips/{ip}/promote", "promoteEgressIP"),
    Operation("GET", "/api/v1/apps/{app_name}/logs", "listLogs"),
    Operation("GET", "/api/v1/apps/{app_name}/releases", "listReleases"),
    Operation("GET", "/api/v1/apps/{app_name}/releases/current", "getCurrentRelease"),
    Operation("POST", "/api/v1/builds", "createBuild"),
    Operation("POST", "/api/v1/builds/finish", "finishBuild"),
    Operation("GET", "/api/v1/organizations", "listOrganizations"),
    Operation("GET", "/api/v1/organizations/{org_slug}", "getOrganization"),
    Operation("GET", "/api/v1/organizations/{org_slug}/postgres", "mpgList"),
    Operation("GET", "/api/v1/organizations/{org_slug}/postgres/deleted", "mpgListDeleted"),
    Operation("DELETE", "/api/v1/organizations/{org_slug}/postgres/{postgres_cluster_id}", "mpgDelete"),
    Operation("GET", "/api/v1/organizations/{org_slug}/postgres/{postgres_cluster_id}", "mpgGet"),
    Operation("POST", "/api/v1/organizations/{org_slug}/postgresv2", "mpgCreate"),
    Operation("GET", "/api/v1/organizations/{org_slug}/postgresv2/regions", "mpgRegions"),
    Operation("GET", "/api/v1/postgres/{postgres_cluster_id}", "mpgGet"),
    Operation("GET", "/api/v1/postgresv2/{postgres_cluster_id}", "mpgGet"),
    Operation("POST", f"{_MPG}/attachments", "createPostgresAttachment"),
    Operation("DELETE", f"{_MPG}/attachments/{{app_name}}", "mpgDetach"),
    Operation("GET", f"{_MPG}/backups", "mpgBackups"),
    Operation("POST", f"{_MPG}/backups", "mpgBackUp"),
    Operation("GET", f"{_MPG}/databases", "listPostgresDatabases"),
    Operation("POST", f"{_MPG}/databases", "createPostgresDatabase"),
    Operation("GET", f"{_MPG}/databases/{{database_name}}/extensions", "listPostgresExtensions"),
    Operation("POST", f"{_MPG}/databases/{{database_name}}/extensions", "enablePostgresExtension"),
    Operation(
        "DELETE", f"{_MPG}/databases/{{database_name}}/extensions/{{extension_name}}", "disablePostgresExtension"
    ),
    Operation("POST", f"{_MPG}/restore", "mpgRestore"),
    Operation("GET", f"{_MPG}/users", "mpgUsers"),
    Operation("POST", f"{_MPG}/users", "mpgCreateUser"),
    Operation("DELETE", f"{_MPG}/users/{{username}}", "deletePostgresUser"),
    Operation("PATCH", f"{_MPG}/users/{{username}}", "mpgSetRole"),
    Operation("GET", f"{_MPG}/users/{{username}}/credentials", "mpgCredentials"),
    Operation("POST", "/api/v1/releases", "createRelease"),
    Operation("GET", "/api/v1/releases/all_current", "listCurrentReleases"),
    Operation("PATCH", "/api/v1/releases/{release_id}", "updateRelease"),
)

# Limits count by the narrowest resource in the path ("per machine id or app id"), else by the organization.
_IDENTIFIERS = ("machine_id", "volume_id", "postgres_cluster_id", "app_name", "org_slug")


def operations() -> Iterator[Operation]:
    """Yield every operation of the API document."""
    for path, methods in _TABLE.items():
        for method, action in methods.items():
            yield Operation(method, path, action)


def companions() -> Iterator[Operation]:
    """Yield the operations that are served in addition to those of the API document."""
    yield from _COMPANIONS


def identifier(params: Mapping[str, str]) -> str:
    """Return the narrowest resource in a path, which its requests are counted by; empty if it has none."""
    for key in _IDENTIFIERS:
        if named := params.get(key):
            return named
    return ""
