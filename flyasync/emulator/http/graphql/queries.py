"""The fields of Query."""

from typing import Any

from flyasync.emulator.core.errors import ApiError
from flyasync.emulator.core.go_json import Json
from flyasync.emulator.core.records import AppRecord, MachineRecord, VolumeRecord
from flyasync.emulator.core.regions import NEAREST, REGIONS, RegionRecord
from flyasync.emulator.http.graphql import apps
from flyasync.emulator.http.graphql.connections import USER, Fields, connection, empty
from flyasync.emulator.http.graphql.organizations import organizations
from flyasync.emulator.world import orgs
from flyasync.emulator.world.world import World


def _app(world: World, _: Any, *, name: str | None = None, internal_id: str | None = None) -> AppRecord:
    if internal_id is not None:
        name = next((each.name for each in world.apps.values() if str(each.number) == internal_id), None)
    return apps.find(world, name)


def _apps(world: World, _: Any, *, organization_id: str | None = None, role: str | None = None, **page: Any) -> Json:
    slug = organization_id and orgs.find(world, org_id=organization_id)
    found = [each for each in world.apps.values() if slug in {None, each.org_slug} and role in {None, each.role}]
    return connection(found, **page)


def _organization(world: World, _: Any, **by: Any) -> str:
    return orgs.find(world, slug=by.get("slug") or by.get("name"), org_id=by.get("identity"))


def _machine(world: World, _: Any, *, machine_id: str) -> MachineRecord:
    if machine_id not in world.machines:
        raise ApiError(404, "Could not find Machine")
    return world.machines[machine_id]


def _machines(world: World, _: Any, *, app_id: str | None = None, state: str | None = None, **page: Any) -> Json:
    found = [each for each in world.machines.values() if not each.is_destroyed]
    if app_id is not None:
        found = [each for each in found if each.app == apps.find(world, app_id).name]
    return connection([each for each in found if state in {None, each.state}], **page)


def _volume(world: World, _: Any, *, identity: str) -> VolumeRecord:
    if identity not in world.volumes:
        raise ApiError(404, "Could not find Volume")
    return world.volumes[identity]


def _platform(_world: World, _: Any) -> Json:
    return {"request_region": NEAREST, "regions": [each for each in REGIONS if not each.deprecated]}


def _nearest(_world: World, _: Any, **_gateway: Any) -> RegionRecord:
    return next(each for each in REGIONS if each.code == NEAREST)


QUERY: Fields = {
    "addOns": empty,
    "app": _app,
    "appNameAvailable": lambda world, _, name: name not in world.apps,
    "apps": _apps,
    "canPerformBluegreenDeployment": lambda *_, **__: True,
    "latestImageDetails": lambda world, _, image, **__: apps.latest_image(world, image),
    "latestImageTag": lambda _, __, repository, **___: f"{repository}:latest",
    "machine": _machine,
    "machines": _machines,
    "nearestRegion": _nearest,
    "organization": _organization,
    "organizations": organizations,
    "platform": _platform,
    "viewer": lambda *_: USER,
    "volume": _volume,
}
