"""The fields of all types that are more than an attribute of a record, by the name of the type."""

from collections.abc import Mapping

from flyasync.emulator.http.graphql import apps, certificates, machines, organizations
from flyasync.emulator.http.graphql.connections import Fields
from flyasync.emulator.http.graphql.mutations import MUTATION
from flyasync.emulator.http.graphql.queries import QUERY

FIELDS: Mapping[str, Fields] = {
    "Query": QUERY,
    "Mutation": MUTATION,
    "User": organizations.PRINCIPAL,
    "Macaroon": organizations.PRINCIPAL,
    "Organization": organizations.ORGANIZATION,
    "LimitedAccessToken": organizations.LIMITED_TOKEN,
    "App": apps.APP,
    "AppConfig": apps.CONFIG,
    "Release": apps.RELEASE,
    "IPAddress": apps.ADDRESS,
    "EgressIPAddress": apps.EGRESS_ADDRESS,
    "Secret": apps.SECRET,
    "Machine": machines.MACHINE,
    "Volume": machines.VOLUME,
    "VolumeSnapshot": machines.SNAPSHOT,
    "AppCertificate": certificates.CERTIFICATE,
}
