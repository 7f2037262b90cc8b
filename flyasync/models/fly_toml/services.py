"""Convert the services, checks and metrics of a fly.toml as flyctl would send them."""

import re
from collections.abc import Mapping
from typing import Any, Final

from attrs import evolve

from flyasync.models.config import Metrics
from flyasync.models.fly_toml.section import Section, text_of
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
from flyasync.models.types import Autostop

_PORT: Final = 8080
"""The internal port of a service without one, as documented; flyctl sends none."""
_LIMITS: Final = re.compile(r"([+-]?[0-9]{1,9}),([+-]?[0-9]{1,9})")
_MILLISECOND: Final = 0.001  # the unit of a plain number in the times of a check
_AUTOSTOPS: Final = ("off", "stop", "suspend")
_KINDS: Final = ("tcp", "http")
_CHECKS_OF_HTTP: Final = "flyctl ignores it here: write it as [[http_service.checks]]"


def http_service(section: Section) -> Service:
    """Read `[http_service]`: ports 80 and 443 of one service, with 8080 as the default of its internal port."""
    http_options = section.model("http_options", HTTPOptions)
    tls_options = section.model("tls_options", TLSOptions)
    ports = (
        Port(port=80, handlers=["http"], force_https=section.flag("force_https"), http_options=http_options),
        Port(port=443, handlers=["http", "tls"], http_options=http_options, tls_options=tls_options),
    )
    made = _service(
        section,
        protocol="tcp",
        internal_port=section.integer("internal_port") or _PORT,
        ports=ports,
        concurrency=section.model("concurrency", Concurrency),
        checks=[_http_check(check) for check in section.listed("checks")],
    )
    section.finish(tcp_checks=_CHECKS_OF_HTTP, http_checks=_CHECKS_OF_HTTP)
    return made


def service(section: Section) -> Service:
    """Read one of `[[services]]`."""
    ports = tuple(_port(port) for port in section.tables("ports")) or None
    tcp = [_tcp_check(check) for check in section.tables("tcp_checks")]
    http = [_check(check, type="http") for check in section.tables("http_checks")]
    protocol = section.text("protocol") or "tcp"
    made = _service(
        section,
        protocol=protocol,
        internal_port=section.port("internal_port") or _PORT,
        ports=ports,
        concurrency=_concurrency(section),
        checks=[*tcp, *http],
    )
    section.finish()
    if ports is None:
        message = "no ports, so the service cannot be reached from outside; flyctl refuses it"
        section.warn("service-ports", "ports", message, "add one, such as 443, or remove the service")
    return made


def top_check(section: Section) -> Check:
    """Read one of `[checks]`; without a port of its own it uses the one of the http_service."""
    kind, port = section.text("type"), section.integer("port")
    if kind not in _KINDS:
        section.wrong("type", "is missing; it must be tcp or http" if kind is None else "must be tcp or http")
    check = _check(section, type=kind, port=port)
    if check.interval is not None and not check.interval:
        section.wrong("interval", "is 0, but must be 2 seconds or more")
    return evolve(check, method=check.method.upper()) if check.method else check


def _port(section: Section) -> Port:
    made = Port(
        port=section.port("port"),
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


def _service(section: Section, *, checks: list[Check], **own: Any) -> Service:
    """Read the keys that `[http_service]` and `[[services]]` have in common."""
    for check in section.listed("machine_checks"):
        machine_check(check)
    autostop = section.take("auto_stop_machines")
    if not (autostop is None or isinstance(autostop, bool) or autostop in _AUTOSTOPS):
        section.wrong("auto_stop_machines", f"must be a boolean, or {', '.join(_AUTOSTOPS)}")
        autostop = None
    return Service(
        **own,
        # Sent as a string, even if the file has a boolean: to the API, true is `stop`, and false is `off`.
        autostop=None if autostop is None else str(Autostop(autostop)),
        autostart=section.flag("auto_start_machines"),
        min_machines_running=section.integer("min_machines_running"),
        checks=checks or None,
    )


def _concurrency(section: Section) -> Concurrency | None:
    """Read a table, or the old string "soft,hard", which counts requests."""
    value = section.take("concurrency")
    if not isinstance(value, str):
        return Section(section.path, {"concurrency": value}, section.found).model("concurrency", Concurrency)
    if limits := _LIMITS.fullmatch(value):
        return Concurrency(type="requests", soft_limit=int(limits[1]), hard_limit=int(limits[2]))
    section.wrong("concurrency", 'must be a table, or a string such as "20,25": the soft and the hard limit')
    return None


def machine_check(section: Section) -> None:
    """Read one of `[[machine_checks]]`, which flyctl runs on machines of their own; flyasync does not run them."""
    for key in ("command", "entrypoint"):
        section.texts(key)
    for key in ("image", "kill_signal"):
        section.text(key)
    section.duration("kill_timeout", unit=1)
    section.finish()


def _tcp_check(section: Section) -> Check:
    section.ignore("restart_limit")  # of a platform that no longer exists
    check = Check(type="tcp", **_times(section, may_be_empty=True))
    section.finish()
    return check


def _check(section: Section, **given: Any) -> Check:
    """Read a check of `[[services]]` or `[checks]`, in the forms that flyctl translates."""
    section.ignore("restart_limit")
    return _full_check(section, headers=_headers(section), **_times(section, may_be_empty=True), **given)


def _http_check(section: Section) -> Check:
    """Read one of `[[http_service.checks]]`, where flyctl translates nothing.

    Plain numbers are milliseconds, as documented; flyctl reads nanoseconds.
    """
    headers = section.strings("headers") or {}
    made = [HTTPHeader(name=name, values=[value]) for name, value in headers.items()]
    return _full_check(section, type="http", headers=made or None, **_times(section, may_be_empty=False))


def _full_check(section: Section, **given: Any) -> Check:
    texts: dict[str, Any] = {key: section.text(key) for key in ("method", "path", "protocol", "tls_server_name")}
    check = Check(**given, **texts, tls_skip_verify=section.flag("tls_skip_verify"))
    section.finish()
    return check


def _times(section: Section, *, may_be_empty: bool) -> dict[str, Any]:
    return {
        key: section.duration(key, unit=_MILLISECOND, may_be_empty=may_be_empty)
        for key in ("interval", "timeout", "grace_period")
    }


def _headers(section: Section) -> list[HTTPHeader] | None:
    """Read a table of headers, or the old list of tables with `name` and `value`."""
    headers = section.take("headers")
    if headers is None:
        return None
    pairs = None
    if isinstance(headers, Mapping):
        pairs = list(headers.items())
    elif isinstance(headers, list) and all(isinstance(each, Mapping) for each in headers):
        pairs = [(text_of(each.get("name")), each.get("value", "")) for each in headers]
    texts = [(name, text_of(value)) for name, value in pairs or ()]
    if pairs is None or not all(isinstance(name, str) and value is not None for name, value in texts):
        section.wrong("headers", "must be a table of strings, or a list of tables with name and value")
        return None
    return [HTTPHeader(name=name, values=[value]) for name, value in texts if value is not None] or None


def metrics(section: Section) -> Metrics:
    """Read one of `[[metrics]]`."""
    made = Metrics(port=section.integer("port"), path=section.text("path"), https=section.flag("https"))
    section.finish()
    return made
