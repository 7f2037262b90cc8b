"""Certificates in the API's JSON."""

from flyasync.emulator.core.go_json import Json
from flyasync.emulator.core.records import AppRecord, CertificateRecord
from flyasync.emulator.world import certificates
from flyasync.emulator.world.world import World

# The lifetime of a Let's Encrypt certificate.
_LIFETIME = 90 * 24 * 3600.0


def certificate_row(world: World, record: CertificateRecord) -> Json:
    """Return a hostname as a list does."""
    is_valid = certificates.is_valid(world, record)
    return {
        "hostname": record.hostname,
        "status": certificates.status(world, record),
        "dns_provider": "",
        # All validation methods succeed together, because no real DNS is queried.
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
    """Return a hostname with its certificates and the required DNS records."""
    is_valid = certificates.is_valid(world, record)
    issued = []
    if record.acme_at is not None:
        issued_at = max(record.validated_at, record.acme_at)
        issued.append(_entry(world, "fly", record.acme_at, issued_at if is_valid else None, "Let's Encrypt"))
    # An uploaded certificate is active immediately: it needs no validation by Fly.
    if record.custom_at is not None:
        issued.append(_entry(world, "custom", record.custom_at, record.custom_at, "custom"))
    checked = ("dns_configured", "alpn_configured", "http_configured", "ownership_txt_configured")
    return {
        "hostname": record.hostname,
        "configured": is_valid,
        "acme_requested": record.acme_at is not None,
        "status": certificates.status(world, record),
        "dns_provider": "",
        "rate_limited_until": None,
        "certificates": issued,
        "validation": dict.fromkeys(checked, is_valid),
        "dns_requirements": _dns_requirements(app, record.hostname),
        "validation_errors": [],
    }


def dns_records(world: World, app: AppRecord, record: CertificateRecord) -> Json:
    """Return the DNS records: none before the validation, all required ones after it."""
    required = _dns_requirements(app, record.hostname)
    is_valid = certificates.is_valid(world, record)
    return {
        "a": required["a"] if is_valid else [],
        "aaaa": required["aaaa"] if is_valid else [],
        "cname": [required["cname"]] if is_valid else [],
        "acme_challenge_cname": required["acme_challenge"]["target"] if is_valid else "",
        "ownership_txt": required["ownership"]["app_value"] if is_valid else "",
        "resolved_addresses": [*required["a"], *required["aaaa"]] if is_valid else [],
        "soa": "",
    }


def _entry(world: World, source: str, created_at: float, issued_at: float | None, issuer: str) -> Json:
    # Requested, but its hostname is not validated yet.
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
    # A wildcard is validated by its domain.
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
