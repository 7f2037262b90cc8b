"""The fields of Mutation. Each is called with its input in snake case and returns its payload."""

from collections.abc import Callable
from typing import Any

from flyasync.emulator.core import ids
from flyasync.emulator.core.errors import ApiError, bad_request
from flyasync.emulator.core.go_json import Json
from flyasync.emulator.core.records import AddressRecord, AppRecord
from flyasync.emulator.http.graphql import certificates as certificate_fields
from flyasync.emulator.http.graphql.apps import addresses, find
from flyasync.emulator.http.graphql.connections import Fields, Resolver
from flyasync.emulator.world import (
    apps,
    certificates,
    ip_assignments,
    limited_tokens,
    orgs,
    releases,
    secrets,
    volumes,
)
from flyasync.emulator.world.world import World

Change = Callable[[World, Json], Json]

# Apps.


def _create_app(world: World, asked: Json) -> Json:
    made = apps.create(
        world,
        asked.get("name") or ids.machine_name(world.random),
        org_slug=orgs.find(world, org_id=asked["organization_id"]),
        network=asked.get("network") or "",
        role=asked.get("app_role_id") or "",
    )
    return {"app": made}


def _delete_app(world: World, asked: Json) -> Json:
    app = find(world, asked["app_id"])
    apps.delete(world, app.name)
    return {"organization": app.org_slug}


def _move_app(world: World, asked: Json) -> Json:
    app = find(world, asked["app_id"])
    apps.move(app, orgs.find(world, org_id=asked["organization_id"]))
    return {"app": app}


def _lock_app(world: World, asked: Json) -> Json:
    lock = apps.lock(world, find(world, asked["app_id"]))
    return {"lock_id": lock.id, "expiration": world.stamp(lock.expires_at)}


def _unlock_app(world: World, asked: Json) -> Json:
    app = find(world, asked["app_id"])
    apps.unlock(app, asked["lock_id"])
    return {"app": app}


def _set_secrets(world: World, asked: Json) -> Json:
    app = find(world, asked["app_id"])
    gone = dict.fromkeys(app.secrets.kept) if asked.get("replace_all") else {}
    secrets.change(world, app, gone | {each["key"]: each["value"] for each in asked["secrets"]})
    return {"app": app, "release": None}


def _unset_secrets(world: World, asked: Json) -> Json:
    app = find(world, asked["app_id"])
    secrets.change(world, app, dict.fromkeys(asked["keys"]))
    return {"app": app, "release": None}


# Builds and releases.


def _build(_world: World, asked: Json) -> Json:
    # Accepted, not recorded.
    return {"id": asked.get("build_id") or "1", "status": asked.get("status") or "started", "wallclock_time_ms": 0}


def _create_release(world: World, asked: Json) -> Json:
    app = find(world, asked["app_id"])
    return {
        "release": releases.create(
            world, app, image=asked["image"], strategy=asked["strategy"], definition=asked["definition"] or {}
        )
    }


def _update_release(world: World, asked: Json) -> Json:
    return {"release": releases.update(world, asked["release_id"], status=asked.get("status") or "")}


# IP addresses.


def _allocate(world: World, asked: Json) -> Json:
    app = find(world, asked["app_id"])
    owner = asked.get("organization_id")
    found = ip_assignments.assign(
        world,
        app,
        asked["type"],
        region=asked.get("region") or "",
        service_name=asked.get("service_name") or "",
        network=asked.get("network") or "",
        network_org=orgs.find(world, org_id=owner) if owner else app.org_slug,
    )
    return {"app": app, "ip_address": found[0]}


def _release_address(world: World, asked: Json) -> Json:
    ip = asked.get("ip") or asked.get("ip_address_id") or ""
    name = asked.get("app_id")
    app = find(world, name) if name else next((each for each in world.apps.values() if ip in each.addresses), None)
    if app is None:
        raise bad_request(f"no app has the address {ip!r}")
    ip_assignments.release(app, ip)
    return {"app": app}


def _allocate_egress(world: World, asked: Json) -> Json:
    app, machine_id = find(world, asked["app_id"]), asked.get("machine_id") or ""
    region = world.machine(app.name, machine_id).region if machine_id else asked.get("region") or ""
    return _pair(ip_assignments.assign(world, app, "egress-pair", region=region, machine_id=machine_id))


def _release_egress(world: World, asked: Json) -> Json:
    app = find(world, asked["app_id"])
    if machine_id := asked.get("machine_id"):
        found = addresses(app, is_egress=True, machine_id=machine_id)
    else:
        found = [each for each in addresses(app, is_egress=True) if each.ip == asked.get("ip")]
    if not found:
        raise bad_request("Could not find egress IP address")
    for each in found:
        ip_assignments.release(app, each.ip)
    return _pair(found)


def _pair(found: list[AddressRecord]) -> Json:
    return {"v6" if ":" in each.ip else "v4": each.ip for each in found}


# Certificates.


def _add_certificate(world: World, asked: Json) -> Json:
    app = find(world, asked["app_id"])
    return _certificate(world, app, certificates.request_acme(world, app, asked["hostname"]).hostname)


def _check_certificate(world: World, asked: Json) -> Json:
    return _certificate(world, find(world, asked["app_id"]), asked["hostname"])


def _delete_certificate(world: World, asked: Json) -> Json:
    shown = _check_certificate(world, asked)
    certificates.remove(shown["app"], asked["hostname"])
    return shown


def _certificate(world: World, app: AppRecord, hostname: str) -> Json:
    value = (app, certificates.find(app, hostname))
    return {"app": app, "certificate": value, "check": certificate_fields.check(world, value)}


# Volumes.


def _create_volume(world: World, asked: Json) -> Json:
    app = find(world, asked["app_id"])
    new = volumes.NewVolume(
        name=asked["name"],
        region=asked["region"],
        size_gb=asked["size_gb"],
        encrypted=asked["encrypted"],
        snapshot_id=asked.get("snapshot_id"),
    )
    return {"app": app, "volume": volumes.create(world, app.name, new)}


def _delete_volume(world: World, asked: Json) -> Json:
    volume = world.volumes.get(asked["volume_id"])
    if volume is None:
        raise ApiError(404, "Could not find Volume")
    volumes.delete(world, volume)
    return {"app": world.apps[volume.app]}


# Organizations and tokens.


def _create_organization(world: World, asked: Json) -> Json:
    return {"organization": orgs.create(world, asked["name"])}


def _delete_organization(world: World, asked: Json) -> Json:
    orgs.delete(world, orgs.find(world, org_id=asked["organization_id"]))
    return {"deleted_organization_id": asked["organization_id"]}


def _invite(world: World, asked: Json) -> Json:
    slug = orgs.find(world, org_id=asked["organization_id"])
    made = orgs.invite(world, slug, asked["email"])
    shown = {"id": made.id, "email": made.email, "created_at": world.stamp(made.created_at)}
    return {"invitation": {**shown, "redeemed": False, "organization": slug}}


def _add_replay_sources(world: World, asked: Json) -> Json:
    org = orgs.record(world, orgs.find(world, slug=asked["organization_slug"]))
    org.replay_sources = list(dict.fromkeys([*org.replay_sources, *asked["allowed_org_slugs"]]))
    return {"organization": org.slug}


def _remove_replay_sources(world: World, asked: Json) -> Json:
    org = orgs.record(world, orgs.find(world, slug=asked["organization_slug"]))
    org.replay_sources = [each for each in org.replay_sources if each not in asked["org_slugs_to_remove"]]
    return {"organization": org.slug}


def _allow_all_replays(world: World, asked: Json) -> Json:
    org = orgs.record(world, orgs.find(world, slug=asked["organization_slug"]))
    org.allows_all_replays = asked["allow"]
    return {"organization": org.slug}


def _create_token(world: World, asked: Json) -> Json:
    made = limited_tokens.create(
        world,
        orgs.find(world, org_id=asked["organization_id"]),
        name=asked["name"],
        profile=asked["profile"],
        params=asked.get("profile_params") or {},
        expiry=asked.get("expiry"),
    )
    return {"limited_access_token": made}


def _revoke_token(world: World, asked: Json) -> Json:
    return {"token": limited_tokens.revoke(world, asked.get("id") or "").token}


def _invalid_peers(_world: World, asked: Json) -> Json:
    # There is no WireGuard here, so no peer that a client remembers is valid.
    return {"invalid_peer_ips": asked["peer_ips"]}


def _echoing(change: Change) -> Resolver:
    """Return the resolver of a change: its arguments are those of the input, whose id it returns."""

    def resolve(world: World, _: Any, *, input: Json | None = None, **arguments: Any) -> Json:  # noqa: A002 - its name
        asked = arguments if input is None else input
        return {"client_mutation_id": asked.get("client_mutation_id"), **change(world, asked)}

    return resolve


_CHANGES: dict[str, Change] = {
    "addAllowedReplaySourceOrgs": _add_replay_sources,
    "addCertificate": _add_certificate,
    "allocateEgressIpAddress": _allocate_egress,
    "allocateIpAddress": _allocate,
    "checkCertificate": _check_certificate,
    "createApp": _create_app,
    "createBuild": _build,
    "createLimitedAccessToken": _create_token,
    "createOrganization": _create_organization,
    "createOrganizationInvitation": _invite,
    "createRelease": _create_release,
    "createVolume": _create_volume,
    "deleteApp": _delete_app,
    "deleteCertificate": _delete_certificate,
    "deleteLimitedAccessToken": _revoke_token,
    "deleteOrganization": _delete_organization,
    "deleteVolume": _delete_volume,
    "finishBuild": _build,
    "lockApp": _lock_app,
    # A token is not a session here: it stays valid.
    "logOut": lambda *_: {"ok": True},
    "moveApp": _move_app,
    "releaseEgressIpAddress": _release_egress,
    "releaseIpAddress": _release_address,
    "removeAllowedReplaySourceOrgs": _remove_replay_sources,
    "setAllowAllCrossNetworkReplays": _allow_all_replays,
    "setSecrets": _set_secrets,
    "unlockApp": _unlock_app,
    "unsetSecrets": _unset_secrets,
    "updateRelease": _update_release,
    "validateWireGuardPeers": _invalid_peers,
}
MUTATION: Fields = {name: _echoing(change) for name, change in _CHANGES.items()}
