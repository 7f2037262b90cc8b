"""The control routes under `/_emulator/`; they need no token, and are neither rate limited nor logged."""

import json
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from hashlib import blake2b
from typing import Any, Final

from aiohttp import web
from attrs import asdict, frozen

from flyasync.emulator.core.errors import bad_request
from flyasync.emulator.core.faults import read_fault
from flyasync.emulator.core.go_json import Json, check, decode, integer, parse
from flyasync.emulator.core.processes import read_script
from flyasync.emulator.http.middleware import ApiMiddleware, body_of
from flyasync.emulator.http.views.overview import overview
from flyasync.emulator.world.reach import reach, route_request

_CAPACITY = {"region": "string", "machines": "int"}
_IMAGE = {"image": "string"}
_CRASH = {"machine_id": "string", "exit_code": "int"}
_HOST_STATUS = {"machine_id": "string", "host_status": "string"}


@frozen
class ControlRoutes:
    """The control routes: they read and change the middleware directly, and the emulator through its methods."""

    middleware: ApiMiddleware
    set_capacity: Callable[[str, int | None], None]
    set_host_status: Callable[[str, str], None]
    crash_machine: Callable[[str, int], None]
    push: Callable[[str], str]
    dump: Callable[[], Json]
    load: Callable[[Any], None]
    reset: Callable[[], None]

    async def health(self, _: web.BaseRequest) -> web.Response:
        """Confirm that the emulator serves."""
        return web.json_response({"status": "ok"})

    async def incidents(self, _: web.BaseRequest) -> web.Response:
        """Return what flyctl reads from Fly.io's status page: there are no incidents."""
        return web.json_response({"incidents": []})

    async def counts(self, _: web.BaseRequest) -> web.Response:
        """Return the number of requests by action and identifier."""
        return web.json_response({"counts": self.middleware.request_log.counts_as_json()})

    async def log(self, request: web.BaseRequest) -> web.Response:
        """List the requests, with `after` only those after that number; count what was asked for and is not served."""
        after = integer(request.query.get("after", "0"), "after")
        found = self.middleware.request_log
        return web.json_response(
            {"log": found.log_as_json(after), "not_served": dict(sorted(found.not_served.items()))}
        )

    async def faults(self, _: web.BaseRequest) -> web.Response:
        """List the active faults."""
        return web.json_response({"faults": self.middleware.faults.as_json()})

    async def add_faults(self, request: web.BaseRequest) -> web.Response:
        """Add one fault, or a list of them."""
        asked = parse(await body_of(request))
        with _refusing():
            found = list(map(read_fault, asked if isinstance(asked, list) else [asked]))
        # All or none: a list with one invalid fault adds no fault.
        with self.middleware.scheduler.present():
            self.middleware.faults.add(*found)
        return web.json_response({"faults": self.middleware.faults.as_json()}, status=201)

    async def clear_faults(self, _: web.BaseRequest) -> web.Response:
        """Remove all faults."""
        with self.middleware.scheduler.present():
            self.middleware.faults.clear()
        return web.Response(status=204)

    async def commands(self, _: web.BaseRequest) -> web.Response:
        """List the scripted commands, by pattern."""
        found = self.middleware.scheduler.world.commands
        return web.json_response({"commands": [{"command": key, **asdict(item)} for key, item in found.items()]})

    async def add_commands(self, request: web.BaseRequest) -> web.Response:
        """Script one command, or a list of them; a pattern that exists is replaced."""
        asked = parse(await body_of(request))
        with _refusing():
            found = dict(map(read_script, asked if isinstance(asked, list) else [asked]))
        with self.middleware.scheduler.present() as world:
            world.commands.update(found)
        return web.Response(status=204)

    async def clear_commands(self, _: web.BaseRequest) -> web.Response:
        """Remove all scripted commands."""
        with self.middleware.scheduler.present() as world:
            world.commands.clear()
        return web.Response(status=204)

    async def capacity(self, request: web.BaseRequest) -> web.Response:
        """Set how many machines a region can hold, null for any number."""
        body = decode(await body_of(request), "capacity")
        check(body, _CAPACITY, "capacity")
        with _refusing():
            self.set_capacity(body.get("region") or "", body.get("machines"))
        return web.Response(status=204)

    async def host_status(self, request: web.BaseRequest) -> web.Response:
        """Set the host status of a machine."""
        body = decode(await body_of(request), "host_status")
        check(body, _HOST_STATUS, "host_status")
        with _refusing():
            self.set_host_status(body.get("machine_id") or "", body.get("host_status") or "")
        return web.Response(status=204)

    async def crash(self, request: web.BaseRequest) -> web.Response:
        """End the process of a machine, with exit code 1 unless the body has another."""
        body = decode(await body_of(request), "crash")
        check(body, _CRASH, "crash")
        exit_code = body.get("exit_code")
        with _refusing():
            self.crash_machine(body.get("machine_id") or "", 1 if exit_code is None else exit_code)
        return web.Response(status=204)

    async def overview(self, request: web.BaseRequest) -> web.Response:
        """Return what the console shows: the world without its secrets, the latest requests, buckets and faults.

        With `since`, the number of `logged` requests of an earlier response, only those that ended after it. The status
        is 304 if nothing but the clock differs from the response whose ETag is in If-None-Match.
        """
        since, log = integer(request.query.get("since", "0"), "since"), self.middleware.request_log
        with self.middleware.scheduler.present() as world:
            shown, clock = overview(world), round(world.clock, 1)
        found = {"buckets": self.middleware.buckets_as_json(), "faults": self.middleware.faults.as_json()}
        shown |= {**found, "logged": log.ended, "requests": log.latest_as_json(max(0, since))}
        tag = f'W/"{blake2b(json.dumps(shown).encode(), digest_size=12).hexdigest()}"'
        if request.headers.get("If-None-Match") == tag:
            return web.Response(status=304, headers={"ETag": tag})
        return web.json_response({"clock": clock, **shown}, headers={"ETag": tag})

    async def images(self, request: web.BaseRequest) -> web.Response:
        """Push an image: move its tag, and return the digest that the tag now points to."""
        body = decode(await body_of(request), "image")
        check(body, _IMAGE, "image")
        image = body.get("image") or ""
        with _refusing():
            return web.json_response({"image": image, "digest": self.push(image)}, status=201)

    async def world(self, _: web.BaseRequest) -> web.Response:
        """Return the whole world as JSON, with the values of its secrets."""
        return web.json_response(self.dump())

    async def load_world(self, request: web.BaseRequest) -> web.Response:
        """Replace the world."""
        with _refusing():
            # A world may be larger than any body of the API.
            self.load(parse(await body_of(request.clone(client_max_size=0))))
        return web.Response(status=204)

    async def reach(self, request: web.BaseRequest) -> web.Response:
        """Show what the proxy would answer to requests for an app."""
        app, load = _app_of(request), integer(request.query.get("load", "1"), "load")
        with _refusing(), self.middleware.scheduler.present() as world:
            found = reach(world, app, load=load)
        return web.json_response({"app": app, "ports": [each.as_json() for each in found]})

    async def request(self, request: web.BaseRequest) -> web.Response:
        """Do what a request through the proxy does to an app; return the id of the machine that gets it, or null."""
        app = _app_of(request)
        with self.middleware.scheduler.present() as world:
            machine = route_request(world, app)
        return web.json_response({"app": app, "machine_id": machine.id if machine else None})

    async def start_over(self, _: web.BaseRequest) -> web.Response:
        """Start over with an empty world."""
        self.reset()
        return web.Response(status=204)


def _app_of(request: web.BaseRequest) -> str:
    if not (app := request.query.get("app")):
        raise bad_request("app: the name of an app is required, such as ?app=web")
    return app


@contextmanager
def _refusing() -> Iterator[None]:
    try:
        yield
    except (TypeError, ValueError) as error:
        raise bad_request(error.args[0]) from None


ControlRoute = Callable[[ControlRoutes, web.BaseRequest], Awaitable[web.Response]]
ROUTES: Final[tuple[tuple[str, str, ControlRoute], ...]] = (
    ("GET", "/_emulator/health", ControlRoutes.health),
    ("GET", "/_emulator/incidents", ControlRoutes.incidents),
    ("GET", "/_emulator/counts", ControlRoutes.counts),
    ("GET", "/_emulator/log", ControlRoutes.log),
    ("GET", "/_emulator/faults", ControlRoutes.faults),
    ("POST", "/_emulator/faults", ControlRoutes.add_faults),
    ("DELETE", "/_emulator/faults", ControlRoutes.clear_faults),
    ("GET", "/_emulator/commands", ControlRoutes.commands),
    ("POST", "/_emulator/commands", ControlRoutes.add_commands),
    ("DELETE", "/_emulator/commands", ControlRoutes.clear_commands),
    ("POST", "/_emulator/capacity", ControlRoutes.capacity),
    ("POST", "/_emulator/host_status", ControlRoutes.host_status),
    ("POST", "/_emulator/crash", ControlRoutes.crash),
    ("POST", "/_emulator/images", ControlRoutes.images),
    ("GET", "/_emulator/overview", ControlRoutes.overview),
    ("GET", "/_emulator/world", ControlRoutes.world),
    ("POST", "/_emulator/world", ControlRoutes.load_world),
    ("GET", "/_emulator/reach", ControlRoutes.reach),
    ("POST", "/_emulator/request", ControlRoutes.request),
    ("POST", "/_emulator/reset", ControlRoutes.start_over),
)
