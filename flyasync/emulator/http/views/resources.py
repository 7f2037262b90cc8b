"""What apps and organizations hold, in the API's JSON."""

from flyasync.emulator.core.go_json import Json
from flyasync.emulator.core.records import AppRecord, MachineRecord, VolumeRecord
from flyasync.emulator.core.resources import (
    AddressRecord,
    CertificateRecord,
    LogRecord,
    SecretKeyRecord,
    SecretRecord,
    SnapshotRecord,
)
from flyasync.emulator.http.views.machines import volume as volume_view
from flyasync.emulator.world import certificates, secret_keys, secrets, volumes
from flyasync.emulator.world.world import World

_OVERVIEW = ("guest", "image", "metadata")
_GB = 1024**3
_LIFETIME = 90 * 24 * 3600.0


def secret(world: World, record: SecretRecord, *, with_value: bool = False) -> Json:
    """Show a secret, its value only when that was asked for."""
    shown = {
        "name": record.name,
        "digest": secrets.digest(record),
        "created_at": world.stamp(record.created_at),
        "updated_at": world.stamp(record.updated_at),
    }
    return shown | {"value": record.value} if with_value else shown


def secret_key(world: World, record: SecretKeyRecord) -> Json:
    """Show a key by its public half, if it has one."""
    public = secret_keys.public_key(record)
    shown = {
        "name": record.name,
        "type": record.type,
        "created_at": world.stamp(record.created_at),
        "updated_at": world.stamp(record.updated_at),
    }
    return shown if public is None else shown | {"public_key": secret_keys.text(public)}


def version(number: int) -> Json:
    """Show a version of the secrets under both spellings clients read."""
    return {"version": number, "Version": number}


def address(world: World, record: AddressRecord) -> Json:
    """Show an IP address."""
    return {
        "ip": record.ip,
        "type": record.type,
        "region": record.region,
        "service_name": record.service_name,
        "shared": record.is_shared,
        "egress": record.is_egress,
        "created_at": world.stamp(record.created_at),
    }


def snapshot(world: World, record: SnapshotRecord) -> Json:
    """Show a snapshot; its size is known when it is finished."""
    state = record.schedule.state(world.clock)
    return {
        "id": record.id,
        "status": state,
        "size": record.size if state == "created" else 0,
        "volume_size": record.volume_gb * _GB,
        "digest": record.digest,
        "created_at": world.stamp(record.created_at),
        "retention_days": record.retention_days,
    }


def org_machine(world: World, record: MachineRecord, *, summary: bool) -> Json:
    """Show a machine as an organization's list does."""
    shown = {
        "id": record.id,
        "app_name": record.app,
        "name": record.name,
        "state": record.state,
        "region": record.region,
        "version": record.instance_id,
        "private_ip": record.private_ip,
        "created_at": world.stamp(record.created_at),
        "updated_at": world.stamp(record.updated_at),
    }
    overview = {key: record.config[key] for key in _OVERVIEW if record.config.get(key) is not None}
    return shown if summary else shown | {"config": overview}


def org_volume(world: World, record: VolumeRecord) -> Json:
    """Show a volume as an organization's list does."""
    changed = world.stamp(volumes.changed_at(world, record))
    return volume_view(world, record) | {"app_name": record.app, "updated_at": changed}


def log_line(world: World, record: LogRecord) -> Json:
    """Show a line of an app's log."""
    return {
        "id": str(record.serial),
        "type": "log",
        "attributes": {
            "timestamp": world.stamp(record.at),
            "message": record.message,
            "level": record.level,
            "instance": record.instance,
            "region": record.region,
            "meta": {"instance": record.instance, "region": record.region, "event": {"provider": record.provider}},
        },
    }


def certificate_row(world: World, record: CertificateRecord) -> Json:
    """Show a hostname as a list does."""
    is_valid = certificates.is_valid(world, record)
    return {
        "hostname": record.hostname,
        "status": certificates.status(world, record),
        "dns_provider": "",
        "acme_dns_configured": is_valid,
        "acme_alpn_configured": is_valid,
        "acme_http_configured": is_valid,
        "ownership_txt_configured": is_valid,
        "configured": is_valid,
        "acme_requested": record.acme_at is not None,
        "has_custom_certificate": record.custom_at is not None,
        "has_fly_certificate": record.acme_at is not None and is_valid,
        "created_at": world.stamp(record.created_at),
        "updated_at": world.stamp(record.updated_at),
    }


def certificate(world: World, app: AppRecord, record: CertificateRecord) -> Json:
    """Show a hostname with its certificates and what its DNS must say."""
    is_valid = certificates.is_valid(world, record)
    checked = ("dns_configured", "alpn_configured", "http_configured", "ownership_txt_configured")
    return {
        "hostname": record.hostname,
        "configured": is_valid,
        "acme_requested": record.acme_at is not None,
        "status": certificates.status(world, record),
        "dns_provider": "",
        "rate_limited_until": None,
        "certificates": _certificates(world, record),
        "validation": dict.fromkeys(checked, is_valid),
        "dns_requirements": _dns_requirements(app, record.hostname),
        "validation_errors": [],
    }


def dns_records(world: World, app: AppRecord, record: CertificateRecord) -> Json:
    """Show what the DNS says: nothing before the validation, all that is needed after it."""
    wanted = _dns_requirements(app, record.hostname)
    is_valid = certificates.is_valid(world, record)
    return {
        "a": wanted["a"] if is_valid else [],
        "aaaa": wanted["aaaa"] if is_valid else [],
        "cname": [wanted["cname"]] if is_valid else [],
        "acme_challenge_cname": wanted["acme_challenge"]["target"] if is_valid else "",
        "ownership_txt": wanted["ownership"]["app_value"] if is_valid else "",
        "resolved_addresses": [*wanted["a"], *wanted["aaaa"]] if is_valid else [],
        "soa": "",
    }


def _certificates(world: World, record: CertificateRecord) -> list[Json]:
    found = []
    if record.acme_at is not None:
        is_valid = certificates.is_valid(world, record)
        issued_at = max(record.validated_at, record.acme_at)
        found.append(_entry(world, "fly", record.acme_at, issued_at if is_valid else None, "Let's Encrypt"))
    if record.custom_at is not None:
        found.append(_entry(world, "custom", record.custom_at, record.custom_at, "custom"))
    return found


def _entry(world: World, source: str, created_at: float, issued_at: float | None, issuer: str) -> Json:
    if issued_at is None:
        return {"source": source, "status": "pending_validation", "created_at": world.stamp(created_at), "issued": []}
    expires_at = world.stamp(issued_at + _LIFETIME)
    issued = [{"type": kind, "expires_at": expires_at, "certificate_authority": issuer} for kind in ("ecdsa", "rsa")]
    return {
        "source": source,
        "status": "active",
        "created_at": world.stamp(created_at),
        "expires_at": expires_at,
        "issuer": issuer,
        "issued": issued,
    }


def _dns_requirements(app: AppRecord, hostname: str) -> Json:
    bare = hostname.removeprefix("*.")
    return {
        "a": ["66.241.125.1"],
        "aaaa": ["2a09:8280:1::1"],
        "cname": f"{app.name}.fly.dev",
        "acme_challenge": {"name": f"_acme-challenge.{bare}", "target": f"{bare}.{app.id[:7]}.flydns.net"},
        "ownership": {
            "name": f"_fly-ownership.{bare}",
            "app_value": f"app-{app.id[:7]}",
            "org_value": f"org-{app.org_slug}",
        },
    }
