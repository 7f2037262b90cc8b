"""`flyasync certificates`: custom hostnames of an app, and their certificates."""

from collections.abc import Iterator
from typing import TYPE_CHECKING

import click

from flyasync.cli.shared.client import api_command, confirmed
from flyasync.cli.shared.command_group import Group
from flyasync.cli.shared.option_types import contents
from flyasync.cli.shared.output import CommandOutput, Details, Message, Table
from flyasync.cli.shared.parameters import app_argument
from flyasync.cli.shared.tables import Columns

if TYPE_CHECKING:
    from flyasync.api.client import FlyClient
    from flyasync.models.certificate import Certificate

LIST = {
    "HOSTNAME": "hostname",
    "STATUS": "status",
    "FROM FLY": "has_fly_certificate",
    "OWN": "has_custom_certificate",
    "CREATED": "created_at",
}


def dns_records(certificate: "Certificate") -> Iterator[str]:
    """Yield the DNS records to set: addresses, or a CNAME, and proofs of ownership."""
    needs = certificate.dns_requirements
    if needs is None:
        return
    yield from (f"A {address}" for address in needs.a or ())
    yield from (f"AAAA {address}" for address in needs.aaaa or ())
    if needs.cname:
        yield f"CNAME {needs.cname}"
    if needs.acme_challenge and needs.acme_challenge.name:
        yield f"CNAME {needs.acme_challenge.name} to {needs.acme_challenge.target}"
    if needs.ownership and needs.ownership.name:
        yield f"TXT {needs.ownership.name} {needs.ownership.app_value or needs.ownership.org_value}"


SHOW: Columns = {
    "HOSTNAME": "hostname",
    "STATUS": "status",
    "CONFIGURED": "configured",
    "CERTIFICATES": lambda certificate: [
        f"{one.source} {one.status} until {one.expires_at or '?'}" for one in certificate.certificates or ()
    ],
    "DNS RECORDS TO SET": lambda certificate: list(dns_records(certificate)),
    "PROBLEMS": lambda certificate: [
        f"{one.message} ({one.remediation or one.code})" for one in certificate.validation_errors or ()
    ],
    "RATE LIMITED UNTIL": "rate_limited_until",
    "WARNING": "warning",
}

command = Group("certificates", help="Add, check and remove hostnames and their certificates.")

host_argument = click.argument("hostname")


@command.command("list")
@app_argument
@api_command
async def list_(fly: "FlyClient", *, app: str) -> CommandOutput:
    """List the hostnames of APP."""
    return Table([row async for row in fly.certificates.list(app)], LIST)


@command.command("add")
@app_argument
@host_argument
@click.option("--fullchain", type=click.File(), callback=contents, metavar="FILE", help="Your own certificate, as PEM.")
@click.option(
    "--private-key", type=click.File(), callback=contents, metavar="FILE", help="The key of --fullchain, as PEM."
)
@api_command
async def add(
    fly: "FlyClient", *, app: str, hostname: str, fullchain: str | None, private_key: str | None
) -> CommandOutput:
    """Add a hostname.

    Fly.io gets a certificate by ACME once the DNS records in the output are set. To use your own certificate, pass
    --fullchain and --private-key.
    """
    # 1. Neither file: Fly.io gets a certificate.
    # 2. One without the other is a usage error.
    # 3. Both: the user's own certificate.
    if fullchain is None and private_key is None:
        return Details(await fly.certificates.create_acme(app, hostname), SHOW)
    if fullchain is None or private_key is None:
        raise click.UsageError("--fullchain and --private-key are needed together")
    made = await fly.certificates.create_custom(app, hostname, fullchain=fullchain, private_key=private_key)
    return Details(made, SHOW)


@command.command("check")
@app_argument
@host_argument
@api_command
async def check(fly: "FlyClient", *, app: str, hostname: str) -> CommandOutput:
    """Check the DNS records of a hostname now."""
    return Details(await fly.certificates.check(app, hostname), SHOW)


@command.command("show")
@app_argument
@host_argument
@api_command
async def show(fly: "FlyClient", *, app: str, hostname: str) -> CommandOutput:
    """Show one hostname and its certificates."""
    return Details(await fly.certificates.get(app, hostname), SHOW)


@command.command("remove")
@app_argument
@host_argument
@confirmed("Remove {hostname} and its certificates from {app}?")
@api_command
async def remove(fly: "FlyClient", *, app: str, hostname: str) -> CommandOutput:
    """Remove a hostname from APP.

    All its certificates are removed too.
    """
    await fly.certificates.delete(app, hostname)
    return Message(f"removed {hostname} from {app}", {"app": app, "hostname": hostname, "removed": True})
