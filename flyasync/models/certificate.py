"""Certificates: the hostnames under which an app is reachable over TLS."""

from collections.abc import Sequence

from attrs import field, frozen

from flyasync.models.model import Model, settled
from flyasync.models.types import Timestamp, timestamp


@frozen(kw_only=True, repr=False, field_transformer=settled)
class IssuedCertificate(Model):
    """An issued certificate; `type` is `rsa` or `ecdsa`."""

    type: str | None = None
    certificate_authority: str | None = None
    expires_at: Timestamp | None = field(default=None, converter=timestamp)


@frozen(kw_only=True, repr=False, field_transformer=settled)
class CertificateEntry(Model):
    """One of the certificates of a hostname; `source` is `fly` (by ACME) or `custom` (uploaded)."""

    source: str | None = None
    status: str | None = None
    issuer: str | None = None
    issued: Sequence[IssuedCertificate] | None = None
    created_at: Timestamp | None = field(default=None, converter=timestamp)
    expires_at: Timestamp | None = field(default=None, converter=timestamp)


@frozen(kw_only=True, repr=False, field_transformer=settled)
class CertificateValidation(Model):
    """Which of the methods to prove the ownership of a hostname are configured."""

    dns_configured: bool | None = None
    alpn_configured: bool | None = None
    http_configured: bool | None = None
    ownership_txt_configured: bool | None = None


@frozen(kw_only=True, repr=False, field_transformer=settled)
class AcmeChallenge(Model):
    """The CNAME record `name`, pointing to `target`, that lets Fly.io validate a hostname by DNS."""

    name: str | None = None
    target: str | None = None


@frozen(kw_only=True, repr=False, field_transformer=settled)
class OwnershipVerification(Model):
    """The TXT record `name` that proves the ownership of a hostname; either value is accepted."""

    name: str | None = None
    app_value: str | None = None
    org_value: str | None = None


@frozen(kw_only=True, repr=False, field_transformer=settled)
class DNSRequirements(Model):
    """The DNS records that a hostname needs: addresses or a CNAME, and those that prove its ownership."""

    a: Sequence[str] | None = None
    aaaa: Sequence[str] | None = None
    cname: str | None = None
    acme_challenge: AcmeChallenge | None = None
    ownership: OwnershipVerification | None = None


@frozen(kw_only=True, repr=False, field_transformer=settled)
class DNSRecords(Model):
    """The DNS records that a hostname was found to have."""

    a: Sequence[str] | None = None
    aaaa: Sequence[str] | None = None
    cname: Sequence[str] | None = None
    acme_challenge_cname: str | None = None
    ownership_txt: str | None = None
    resolved_addresses: Sequence[str] | None = None
    soa: str | None = None


@frozen(kw_only=True, repr=False, field_transformer=settled)
class CertificateValidationError(Model):
    """An error of a validation; `remediation` is what to do about it."""

    code: str | None = None
    message: str | None = None
    remediation: str | None = None
    timestamp: Timestamp | None = field(default=None, converter=timestamp)


@frozen(kw_only=True, repr=False, field_transformer=settled)
class Certificate(Model):
    """A hostname of an app, its certificates, and what is missing for them to be issued.

    `status` is `active`, `pending_validation` or `pending_ownership`. Only a check returns `dns_records`; only deleting
    the custom certificate returns `warning`. docs: machines/api/certificates-resource
    """

    hostname: str | None = None
    status: str | None = None
    configured: bool | None = None
    acme_requested: bool | None = None
    dns_provider: str | None = None
    certificates: Sequence[CertificateEntry] | None = None
    validation: CertificateValidation | None = None
    validation_errors: Sequence[CertificateValidationError] | None = None
    dns_requirements: DNSRequirements | None = None
    dns_records: DNSRecords | None = None
    rate_limited_until: Timestamp | None = field(default=None, converter=timestamp)
    warning: str | None = None

    @property
    def is_active(self) -> bool:
        """Whether the hostname is served with a certificate."""
        return self.status == "active"


@frozen(kw_only=True, repr=False, field_transformer=settled)
class CertificateSummary(Model):
    """A hostname of an app in a list."""

    hostname: str | None = None
    status: str | None = None
    configured: bool | None = None
    acme_requested: bool | None = None
    acme_dns_configured: bool | None = None
    acme_alpn_configured: bool | None = None
    acme_http_configured: bool | None = None
    ownership_txt_configured: bool | None = None
    has_custom_certificate: bool | None = None
    has_fly_certificate: bool | None = None
    dns_provider: str | None = None
    created_at: Timestamp | None = field(default=None, converter=timestamp)
    updated_at: Timestamp | None = field(default=None, converter=timestamp)


@frozen(kw_only=True, repr=False, field_transformer=settled)
class CertificatePage(Model):
    """A page of an app's hostnames; if `next_cursor` is set, another page follows."""

    certificates: Sequence[CertificateSummary] | None = None
    total_count: int | None = None
    next_cursor: str | None = None

    @property
    def rows(self) -> Sequence[CertificateSummary]:
        """The items of the page."""
        return self.certificates or ()
