"""The environment variables that point clients to an emulator, and to no other server."""

from urllib.parse import urlsplit

CA_VARIABLES = ("SSL_CERT_FILE", "CURL_CA_BUNDLE", "REQUESTS_CA_BUNDLE", "NODE_EXTRA_CA_CERTS")
"""What Go, Ruby and Python's ssl, curl, requests, and Node read a certificate authority from."""


def environment(url: str, token: str, *, config_dir: str, ca_file: str | None) -> dict[str, str]:
    """Return the variables for an emulator at `url`: addresses, tokens, and what keeps flyctl from any other server."""
    variables = {
        "FLY_FLAPS_BASE_URL": url,
        # Both tokens: the first takes precedence, so one of a real account would be sent here.
        "FLY_ACCESS_TOKEN": token,
        "FLY_API_TOKEN": token,
        # The name that Fly.io's documentation uses for the Machines API.
        "FLY_API_HOSTNAME": url,
        "FLY_API_BASE_URL": url,
        "FLY_UIEX_BASE_URL": url,
        "FLY_CONFIG_DIR": config_dir,
        # Of the services below, the emulator has none: flyctl is refused, or does not ask. The registry is
        # here so that neither `docker push` nor the passwords that `fly auth docker` stores concern the real one.
        "FLY_REGISTRY_HOST": urlsplit(url).netloc,
        "FLY_SCANTRON": url,
        # Without a port: flyctl adds one. It sends its token to this host.
        "FLY_TRACE_COLLECTOR_URL": "127.0.0.1",
        "FLY_METRICS_BASE_URL": url,
        "FLY_METRICS_TOKEN": token,
        "FLY_SEND_METRICS": "0",
        "FLY_SYNTHETICS_BASE_URL": url,
        "FLY_SYNTHETICS_AGENT": "0",
        "FLY_STATUSPAGE_UNRESOLVED_INCIDENTS_URL": f"{url}/_emulator/incidents",
        "FLY_NO_INCIDENTS_CHECK": "1",
        "FLY_NO_UPDATE_CHECK": "1",
    }
    return variables | (dict.fromkeys(CA_VARIABLES, ca_file) if ca_file else {})
