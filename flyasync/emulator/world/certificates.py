"""Certificates: hostnames of an app, validated some seconds after they are added; private keys are not stored."""

import re

from flyasync.emulator.core.errors import ApiError, aborted, bad_request, not_found
from flyasync.emulator.core.pagination import ListPage, page
from flyasync.emulator.core.records import AppRecord, CertificateRecord
from flyasync.emulator.world.world import World

_HOSTNAME = re.compile(r"(?:\*\.)?(?:[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?\.)+[a-z]{2,63}")
# The seconds until the DNS of a hostname is validated; validation always succeeds.
_VALIDATION = (5.0, 20.0)


def request_acme(world: World, app: AppRecord, hostname: str) -> CertificateRecord:
    """Request a certificate from Fly (Let's Encrypt)."""
    found = _added(world, app, hostname)
    if found.acme_at is not None:
        raise aborted(f"a certificate for {hostname} was requested already")
    found.acme_at = found.updated_at = world.clock
    return found


def bring_custom(world: World, app: AppRecord, hostname: str, *, fullchain: str, private_key: str) -> CertificateRecord:
    """Replace the uploaded certificate of a hostname; neither the certificate nor its key is stored."""
    if "-----BEGIN CERTIFICATE-----" not in fullchain:
        raise ApiError(422, "invalid fullchain: no PEM certificate found")
    if "PRIVATE KEY-----" not in private_key:
        raise ApiError(422, "invalid private_key: no PEM key found")
    found = _added(world, app, hostname)
    found.custom_at = found.updated_at = world.clock
    return found


def find(app: AppRecord, hostname: str) -> CertificateRecord:
    """Return a hostname of an app; an unknown one raises 404."""
    if hostname not in app.certificates:
        raise not_found("certificate")
    return app.certificates[hostname]


def listed(app: AppRecord, *, part: str, cursor: str, limit: int) -> ListPage[CertificateRecord]:
    """Return a page of the hostnames that contain a text."""
    found = (item for item in app.certificates.values() if part in item.hostname)
    return page(found, key=lambda item: (item.hostname,), cursor=cursor, limit=limit)


def remove(app: AppRecord, hostname: str) -> None:
    """Remove a hostname with its certificates."""
    del app.certificates[find(app, hostname).hostname]


def drop_acme(world: World, app: AppRecord, hostname: str) -> CertificateRecord:
    """Remove the certificate from Fly; the hostname stays."""
    found = find(app, hostname)
    if found.acme_at is None:
        raise not_found("certificate")
    found.acme_at, found.updated_at = None, world.clock
    return found


def drop_custom(world: World, app: AppRecord, hostname: str) -> CertificateRecord:
    """Remove the certificate that was uploaded; the hostname stays."""
    found = find(app, hostname)
    if found.custom_at is None:
        raise not_found("certificate")
    found.custom_at, found.updated_at = None, world.clock
    return found


def is_valid(world: World, certificate: CertificateRecord) -> bool:
    """Whether the hostname is validated."""
    return certificate.validated_at <= world.clock


def status(world: World, certificate: CertificateRecord) -> str:
    """Return the status of a hostname: only certificates from Fly need a validation."""
    if is_valid(world, certificate):
        return "active"
    return "pending_ownership" if certificate.acme_at is None else "pending_validation"


def _added(world: World, app: AppRecord, hostname: str) -> CertificateRecord:
    if not hostname:
        raise bad_request("hostname is required")
    if not _HOSTNAME.fullmatch(hostname):
        raise ApiError(422, f"invalid hostname: {hostname!r}")
    if hostname not in app.certificates:
        # Both kinds of certificate share the hostname and its validation.
        validated_at = world.clock + world.draw(_VALIDATION)
        app.certificates[hostname] = CertificateRecord(
            hostname=hostname, created_at=world.clock, updated_at=world.clock, validated_at=validated_at
        )
    return app.certificates[hostname]
