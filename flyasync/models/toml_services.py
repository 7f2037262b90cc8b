"""Services and checks of a fly.toml, as flyctl would send them."""

from collections.abc import Mapping
from typing import Any, Final

from flyasync.models.scalars import Autostop
from flyasync.models.service import (
    Check,
    Concurrency,
    HTTPHeader,
    HTTPOptions,
    Port,
    ProxyProtoOptions,
    Service,
    TLSOptions,
)
from flyasync.models.toml_section import Section

_MILLISECOND: Final = 0.001


def http_service(section: Section) -> Service:
    """Read `[http_service]`: ports 80 and 443 of one service."""
    http_options = section.model("http_options", HTTPOptions)
    tls_options = section.model("tls_options", TLSOptions)
    ports = (
        Port(port=80, handlers=["http"], force_https=section.flag("force_https"), http_options=http_options),
        Port(port=443, handlers=["http", "tls"], http_options=http_options, tls_options=tls_options),
    )
    checks = [_http_check(check) for check in section.tables("checks")]
    return _service(section, protocol="tcp", ports=ports, checks=checks)


def service(section: Section) -> Service:
    """Read one of `[[services]]`."""
    ports = tuple(_port(port) for port in section.tables("ports")) or None
    return _service(section, protocol=section.text("protocol") or "tcp", ports=ports, checks=[])


def _port(section: Section) -> Port:
    made = Port(
        port=section.integer("port"),
        start_port=section.integer("start_port"),
        end_port=section.integer("end_port"),
        handlers=section.texts("handlers"),
        force_https=section.flag("force_https"),
        tls_options=section.model("tls_options", TLSOptions),
        http_options=section.model("http_options", HTTPOptions),
        proxy_proto_options=section.model("proxy_proto_options", ProxyProtoOptions),
    )
    section.finish()
    return made


def _concurrency(section: Section) -> Concurrency | None:
    """Read a table, or the old "soft,hard", which counts requests."""
    value = section.take("concurrency")
    if not isinstance(value, str):
        return Section(section.path, {"concurrency": value}).model("concurrency", Concurrency)
    soft, comma, hard = value.partition(",")
    if not (comma and soft.isdecimal() and hard.isdecimal()):
        raise section.wrong("concurrency", 'must be a table, or text such as "20,25": the soft limit and the hard one')
    return Concurrency(type="requests", soft_limit=int(soft), hard_limit=int(hard))


def top_check(section: Section, *, port: int | None) -> Check:
    """Read one of `[checks]`; `port` is the one it falls back on."""
    own = section.integer("port")
    if own is None and port is None:
        raise section.wrong("port", "is missing, and there is no http_service to take it from")
    return _check(section, type=section.text("type"), port=port if own is None else own, kind=section.text("kind"))


def _service(section: Section, *, protocol: str, ports: tuple[Port, ...] | None, checks: list[Check]) -> Service:
    section.ignore("machine_checks")  # flyctl runs those on machines of their own
    tcp = [_tcp_check(check) for check in section.tables("tcp_checks")]
    http = [_http_check(check) for check in section.tables("http_checks")]
    made = Service(
        protocol=protocol,
        internal_port=section.integer("internal_port"),
        ports=ports,
        autostop=_autostop(section),
        autostart=section.flag("auto_start_machines"),
        min_machines_running=section.integer("min_machines_running"),
        concurrency=_concurrency(section),
        checks=[*checks, *tcp, *http] or None,
    )
    section.finish()
    return made


def _autostop(section: Section) -> str | None:
    word = section.take("auto_stop_machines")
    if word is not None and not isinstance(word, str | bool):
        raise section.wrong("auto_stop_machines", "must be a boolean, or off, stop or suspend")
    return None if word is None else str(Autostop(word))


def _tcp_check(section: Section) -> Check:
    return _check(section, type="tcp")


def _http_check(section: Section) -> Check:
    return _check(section, type="http")


def _check(section: Section, **given: Any) -> Check:
    section.ignore("restart_limit")  # of a platform that is no more
    check = Check(
        **given,
        interval=section.duration("interval", unit=_MILLISECOND),
        timeout=section.duration("timeout", unit=_MILLISECOND),
        grace_period=section.duration("grace_period", unit=_MILLISECOND),
        method=section.text("method"),
        path=section.text("path"),
        protocol=section.text("protocol"),
        tls_skip_verify=section.flag("tls_skip_verify"),
        tls_server_name=section.text("tls_server_name"),
        headers=_headers(section),
    )
    section.finish()
    return check


def _headers(section: Section) -> list[HTTPHeader] | None:
    headers = section.take("headers")
    if not headers:
        return None
    if not isinstance(headers, Mapping) or not all(isinstance(value, str) for value in headers.values()):
        raise section.wrong("headers", "must be a table of texts")
    return [HTTPHeader(name=name, values=[value]) for name, value in headers.items()]
