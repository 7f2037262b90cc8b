"""Apps and what belongs to them: images, releases, addresses, secrets, services."""

from typing import Any

from flyasync.emulator.core.errors import ApiError
from flyasync.emulator.core.go_json import Json
from flyasync.emulator.core.images import ImageReference
from flyasync.emulator.core.records import AddressRecord, AppRecord, CertificateRecord, MachineRecord, VolumeRecord
from flyasync.emulator.core.regions import REGIONS
from flyasync.emulator.http.graphql.connections import USER, Fields, connection, empty, stamp
from flyasync.emulator.world import checks, limited_tokens, releases, secrets, volumes
from flyasync.emulator.world.world import World

# The size of every image is made up.
_LEAST_BYTES = 50 * 1024**2
# The images of Fly itself, for which it announces upgrades.
_FLY_IMAGES = "flyio/"


def find(world: World, name: str | None) -> AppRecord:
    """Return an app; an unknown one raises the error whose text flyctl matches."""
    if name is None or name not in world.apps:
        raise ApiError(404, "Could not find App")
    return world.apps[name]


def image(world: World, _app: AppRecord, *, ref: str) -> Json:
    """Resolve an image reference to its digest."""
    if not ref:
        raise ApiError(404, "Could not find Image")
    digest = world.images.digest(ref)
    # flyctl reads the size as a string of digits.
    size = str(_LEAST_BYTES + len(ref) * 1024)
    return {
        "id": f"img_{digest.rpartition(':')[2][:16]}",
        "digest": digest,
        # This becomes the image of the machines that flyctl creates.
        "ref": str(ImageReference.parse(ref)),
        "compressed_size": size,
        "compressed_size_full": size,
        "manifest": {"schemaVersion": 2, "mediaType": "application/vnd.oci.image.manifest.v1+json"},
    }


def latest_image(world: World, ref: str) -> Json:
    """Return the newest version of an image of Fly; for any other image, raise the error that flyctl expects."""
    found = ImageReference.parse(ref)
    if not found.repository.startswith(_FLY_IMAGES):
        raise ApiError(404, f"Unknown repository {found.repository}")
    return _image_version(ref, world.images.digest(ref))


def addresses(app: AppRecord, *, is_egress: bool, machine_id: str = "") -> list[AddressRecord]:
    """Return the addresses of an app in one direction, without the shared one."""
    return [
        each
        for each in app.addresses.values()
        if each.is_egress == is_egress and not each.is_shared and each.machine_id == machine_id
    ]


def _image_version(ref: str, digest: str) -> Json:
    found = ImageReference.parse(ref)
    named = {"registry": found.registry, "repository": found.repository, "tag": found.tag}
    return {**named, "version": None, "digest": digest}


def _image_details(world: World, app: AppRecord) -> Json | None:
    running = (each for each in _present(world, app) if each.config.get("image"))
    return next((_image_version(each.config["image"], each.digest) for each in running), None)


def _present(world: World, app: AppRecord) -> list[MachineRecord]:
    return [each for each in world.machines_of(app.name) if not each.is_destroyed]


def _services(world: World, app: AppRecord) -> list[Json]:
    # Those of the first machine: all machines of a group have the same services.
    config: Json = next((each.config for each in _present(world, app) if each.config.get("services")), {})
    return [_service(each) for each in config.get("services") or ()]


def _service(service: Json) -> Json:
    protocol = str(service.get("protocol") or "tcp").upper()
    ports = [
        {
            "port": each.get("port"),
            "start_port": each.get("start_port"),
            "end_port": each.get("end_port"),
            "handlers": [handler.upper() for handler in each.get("handlers") or ()],
        }
        for each in service.get("ports") or ()
    ]
    shown = "/".join(str(each["port"] or f"{each['start_port']}-{each['end_port']}") for each in ports)
    internal = service.get("internal_port") or 0
    return {
        "description": f"{protocol} {shown} => {internal}",
        "protocol": protocol,
        "internal_port": internal,
        "ports": ports,
    }


def _definition(app: AppRecord) -> Json:
    return next((each.definition for each in releases.newest_first(app, 1)), {})


def _host_issues(world: World, app: AppRecord, **page: Any) -> Json:
    issues = [
        {
            "internal_id": f"host-{each.id}",
            "message": f"The host of machine {each.id} is {each.host_status}",
            "created_at": world.stamp(each.updated_at),
            "updated_at": world.stamp(each.updated_at),
        }
        for each in _present(world, app)
        if not each.has_host
    ]
    return connection(issues, **page)


def _lock(world: World, app: AppRecord) -> Json | None:
    if app.lock is None or app.lock.expires_at <= world.clock:
        return None
    return {"lock_id": app.lock.id, "expiration": world.stamp(app.lock.expires_at)}


def _certificate(_world: World, app: AppRecord, *, hostname: str) -> tuple[AppRecord, CertificateRecord] | None:
    found = app.certificates.get(hostname)
    return None if found is None else (app, found)


def _checks(world: World, app: AppRecord, **page: Any) -> Json:
    return connection([row for each in _present(world, app) for row in checks.rows(world, each, world.clock)], **page)


def _volume(world: World, app: AppRecord, *, internal_id: str) -> VolumeRecord | None:
    return next((each for each in volumes.listed(world, app.name) if each.id == internal_id), None)


def _state(app: AppRecord) -> str:
    return "deployed" if app.is_deployed else "pending"


def _releases(_world: World, app: AppRecord, **page: Any) -> Json:
    return connection(releases.newest_first(app), **page)


def _newest_release(_world: World, app: AppRecord) -> Any:
    return next(iter(releases.newest_first(app, 1)), None)


def _regions(world: World, app: AppRecord) -> list[Any]:
    used = {each.region for each in _present(world, app)}
    return [each for each in REGIONS if each.code in used]


APP: Fields = {
    "id": lambda _, app: app.name,
    "internalNumericId": lambda _, app: app.number,
    "hostname": lambda _, app: f"{app.name}.fly.dev",
    "cnameTarget": lambda _, app: f"{app.id[:7]}.{app.name}.fly.dev",
    "appUrl": lambda _, app: f"https://{app.name}.fly.dev",
    "createdAt": stamp("created_at"),
    "deployed": lambda _, app: app.is_deployed,
    "state": lambda _, app: _state(app).upper(),
    "status": lambda _, app: _state(app),
    "version": lambda _, app: app.releases[-1].version if app.releases else 0,
    "networkId": lambda *_: None,
    # flyctl refuses to work on an app of any other platform.
    "platformVersion": lambda *_: "machines",
    "organization": lambda _, app: app.org_slug,
    "role": lambda _, app: {"id": app.role, "name": app.role} if app.role else None,
    "addOns": empty,
    "autoscaling": lambda *_: None,
    "certificate": _certificate,
    "certificates": lambda _, app, **page: connection(
        [(app, each) for each in app.certificates.values() if (page.get("filter") or "") in each.hostname], **page
    ),
    "config": lambda world, app: {"definition": _definition(app), "services": _services(world, app)},
    "currentLock": _lock,
    "currentRelease": _newest_release,
    "currentReleaseUnprocessed": _newest_release,
    "egressIpAddresses": lambda _, app, **page: connection(addresses(app, is_egress=True), **page),
    "healthChecks": _checks,
    "hostIssues": _host_issues,
    "image": image,
    "imageDetails": _image_details,
    "ipAddress": lambda _, app, address: app.addresses.get(address),
    "ipAddresses": lambda _, app, **page: connection(addresses(app, is_egress=False), **page),
    "latestImageDetails": _image_details,
    "limitedAccessTokens": lambda world, app, **page: connection(limited_tokens.of_app(world, app.name), **page),
    "machines": lambda world, app, **page: connection(_present(world, app), **page),
    "regions": _regions,
    "releases": _releases,
    "releasesUnprocessed": _releases,
    "secrets": lambda _, app: secrets.listed(app),
    "services": _services,
    "sharedIpAddress": lambda _, app: next((each.ip for each in app.addresses.values() if each.is_shared), None),
    "volume": _volume,
    "volumes": lambda world, app, **page: connection(volumes.listed(world, app.name), **page),
}

CONFIG: Fields = {"valid": lambda *_: True, "errors": lambda *_: []}

RELEASE: Fields = {
    "stable": lambda _, release: release.status == "complete",
    "inProgress": lambda _, release: release.status in {"pending", "running"},
    "reason": lambda *_: "deploy",
    "description": lambda *_: "Release",
    "evaluationId": lambda *_: "",
    "deploymentStrategy": lambda _, release: release.strategy,
    "config": lambda _, release: {"definition": release.definition, "services": []},
    "configDefinition": lambda _, release: release.definition or None,
    "imageRef": lambda _, release: release.image,
    "createdAt": stamp("created_at"),
    "updatedAt": stamp("updated_at"),
    "user": lambda *_: USER,
}

ADDRESS: Fields = {
    "id": lambda _, address: address.ip,
    "address": lambda _, address: address.ip,
    "network": lambda _, address: (
        {"name": address.network, "organization": address.network_org} if address.network else None
    ),
    "createdAt": stamp("created_at"),
}

EGRESS_ADDRESS: Fields = {
    "id": lambda _, address: address.ip,
    "version": lambda _, address: 6 if ":" in address.ip else 4,
    "updatedAt": stamp("created_at"),
}

SECRET: Fields = {
    "id": lambda _, secret: secret.name,
    "digest": lambda _, secret: secrets.digest(secret),
    "createdAt": stamp("created_at"),
}
