"""Certificates, whose value is the app and the hostname's record, and what their validation found."""

from flyasync.emulator.core.go_json import Json
from flyasync.emulator.core.records import AppRecord, CertificateRecord
from flyasync.emulator.http.graphql.connections import Fields
from flyasync.emulator.http.views.certificates import certificate, dns_records
from flyasync.emulator.world import certificates
from flyasync.emulator.world.world import World

Value = tuple[AppRecord, CertificateRecord]
# A domain of two labels, such as `example.com`, which cannot have a CNAME.
_APEX_LABELS = 2


def check(world: World, value: Value) -> Json:
    """Return the DNS records that the validation found."""
    found = dns_records(world, *value)
    return {
        "a_records": found["a"],
        "aaaa_records": found["aaaa"],
        "cname_records": found["cname"],
        "soa": found["soa"],
        "dns_provider": None,
        "dns_verification_record": found["acme_challenge_cname"],
        "resolved_addresses": found["resolved_addresses"],
    }


def _issued(world: World, value: Value, **_page: object) -> Json:
    nodes = [
        {"type": each["type"], "expires_at": each["expires_at"]}
        for source in certificate(world, *value)["certificates"]
        for each in source["issued"]
    ]
    return {"nodes": nodes}


def _is_valid(world: World, value: Value) -> bool:
    return certificates.is_valid(world, value[1])


def _challenge(world: World, value: Value) -> Json:
    found: Json = certificate(world, *value)["dns_requirements"]["acme_challenge"]
    return found


def _instructions(world: World, value: Value) -> str:
    challenge = _challenge(world, value)
    return f"CNAME {challenge['name']} => {challenge['target']}"


CERTIFICATE: Fields = {
    "id": lambda _, value: f"cert-{value[1].hostname}",
    "hostname": lambda _, value: value[1].hostname,
    "check": _is_valid,
    "source": lambda _, value: "fly" if value[1].acme_at is not None else "custom",
    "clientStatus": lambda world, value: "Ready" if _is_valid(world, value) else "Awaiting certificates",
    "configured": _is_valid,
    "acmeDnsConfigured": _is_valid,
    "acmeAlpnConfigured": _is_valid,
    "certificateAuthority": lambda _, value: "lets_encrypt" if value[1].acme_at is not None else None,
    "dnsProvider": lambda *_: None,
    "dnsValidationHostname": lambda world, value: _challenge(world, value)["name"],
    "dnsValidationInstructions": _instructions,
    "dnsValidationTarget": lambda world, value: _challenge(world, value)["target"],
    "isApex": lambda _, value: len(value[1].hostname.split(".")) == _APEX_LABELS,
    "isWildcard": lambda _, value: value[1].hostname.startswith("*."),
    "issued": _issued,
    "validationErrors": lambda *_: [],
    "createdAt": lambda world, value: world.stamp(value[1].created_at),
}
