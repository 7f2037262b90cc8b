"""Every field that the schema has is answered: those of all queries, as deep as the types are linked."""

from collections.abc import Iterator
from typing import Any

from graphql import GraphQLInterfaceType, GraphQLObjectType, get_named_type

from flyasync.emulator.http.graphql import engine
from flyasync.emulator.http.graphql.resolvers import FIELDS
from tests.emulator.driver import Api
from tests.emulator.http.routes.test_graphql import ask

DEPTH = 3
QUERY = engine.schema().query_type or GraphQLObjectType("Query", {})
ARGUMENTS = {
    "Query.app": 'name: "web"',
    "Query.appNameAvailable": 'name: "web"',
    "Query.canPerformBluegreenDeployment": 'name: "web"',
    "Query.latestImageDetails": 'image: "flyio/postgres-flex:16"',
    "Query.latestImageTag": 'repository: "flyio/postgres-flex"',
    "Query.machine": "machineId: $machine",
    "Query.organization": 'slug: "personal"',
    "Query.volume": "id: $volume",
    "App.certificate": 'hostname: "example.com"',
    "App.image": 'ref: "nginx"',
    "App.ipAddress": 'address: "203.0.113.1"',
    "App.volume": "internalId: $attached",
}


def selection(kind: GraphQLObjectType | GraphQLInterfaceType, depth: int) -> Iterator[str]:
    yield "__typename"
    for name, field in kind.fields.items():
        arguments = ARGUMENTS.get(f"{kind.name}.{name}")
        call = f"{name}({arguments})" if arguments else name
        inner = get_named_type(field.type)
        if not isinstance(inner, GraphQLObjectType | GraphQLInterfaceType):
            yield call
        elif depth > 0:
            yield f"{call} {{ {' '.join(selection(inner, depth - 1))} }}"


async def furnish(api: Api) -> dict[str, str]:
    volume = (await api.post("/v1/apps/web/volumes", {"name": "data", "region": "iad"})).body["id"]
    config = {
        "mounts": [{"volume": volume, "path": "/data"}],
        "services": [{"internal_port": 8080, "protocol": "tcp", "ports": [{"port": 443, "handlers": ["tls"]}]}],
    }
    machine = await api.running(config=config)
    await api.post(f"/v1/apps/web/volumes/{volume}/snapshots")
    for kind in ("v4", "shared_v4", "egress-pair"):
        await api.post("/v1/apps/web/ip_assignments", {"type": kind})
    await api.post("/v1/apps/web/secrets", {"values": {"A": "1"}})
    await api.post("/v1/apps/web/certificates/acme", {"hostname": "example.com"})
    await api.post("/api/v1/releases", {"app_name": "web", "image": "nginx", "definition": {"app": "web"}})
    query = """mutation ($id: ID!) {
        lockApp(input: {appId: "web"}) { lockId }
        token: createLimitedAccessToken(input: {name: "ci", organizationId: $id, profile: "deploy",
            profileParams: {app_id: "web"}, expiry: "24h"}) { limitedAccessToken { id } } }"""
    assert "errors" not in await ask(api, query, id=await org_id(api))
    return {"machine": machine["id"], "volume": volume, "attached": volume}


async def org_id(api: Api) -> str:
    found: str = (await ask(api, '{ organization(slug: "personal") { id } }'))["data"]["organization"]["id"]
    return found


async def test_every_query_is_answered_with_all_its_fields(api: Api) -> None:
    variables = await furnish(api)
    fields = [each for each in selection(QUERY, DEPTH) if each != "__typename"]
    assert len(fields) == len(QUERY.fields)
    kinds = {"machine": "String!", "volume": "ID!", "attached": "String!"}
    for field in fields:
        used = ", ".join(f"${each}: {kind}" for each, kind in kinds.items() if f"${each}" in field)
        found = await ask(api, f"query {f'({used})' if used else ''} {{ {field} }}", **variables)
        assert "errors" not in found, field
        assert list(found["data"].values()) != [None]


def test_a_resolver_belongs_to_a_field_and_every_mutation_has_one() -> None:
    schema = engine.schema()
    for kind, fields in FIELDS.items():
        found = schema.get_type(kind)
        assert isinstance(found, GraphQLObjectType)
        assert fields.keys() <= found.fields.keys(), kind
    assert FIELDS["Query"].keys() == QUERY.fields.keys()
    assert schema.mutation_type is not None
    assert FIELDS["Mutation"].keys() == schema.mutation_type.fields.keys()


async def test_what_a_document_changes_and_shows_is_one_world(api: Api) -> None:
    await furnish(api)
    query = (
        '{ app(name: "web") { config { definition } secrets { name } services { description ports { handlers } } } }'
    )
    app: Any = (await ask(api, query))["data"]["app"]
    assert app["config"]["definition"] == {"app": "web"}
    assert [each["name"] for each in app["secrets"]] == ["A"]
    assert app["services"] == [{"description": "TCP 443 => 8080", "ports": [{"handlers": ["TLS"]}]}]
