"""TLS for an emulator: a certificate authority that exists only for it, and a certificate for its names."""

import ssl
from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from typing import Self

from attrs import field, frozen

# Apple's systems refuse certificates that are valid for more than 825 days, and some clients 398.
_DAY = timedelta(days=1)


@frozen
class CertificateAuthority:
    """An authority, as PEM, with the contexts of the server and of its clients. The keys are on no disk afterwards."""

    pem: bytes
    server: ssl.SSLContext = field(repr=False)
    client: ssl.SSLContext = field(repr=False)

    @classmethod
    def of(cls, hosts: Iterable[str]) -> Self:
        """Make an authority, and a certificate for these names and addresses; ImportError without the package trustme.

        The standard library can use certificates but not make them. trustme makes chains with the extensions that
        clients ask for, by means of cryptography.
        """
        try:
            import trustme
        except ImportError as error:
            raise ImportError("TLS needs the package trustme: pip install 'flyasync[tls]'") from error
        authority = trustme.CA(organization_name="flyasync emulator")
        server = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        now = datetime.now(UTC)
        issued = authority.issue_cert(*dict.fromkeys(hosts), not_before=now - _DAY, not_after=now + 397 * _DAY)
        issued.configure_cert(server)
        pem = authority.cert_pem.bytes()
        return cls(pem, server, ssl.create_default_context(cadata=pem.decode()))
