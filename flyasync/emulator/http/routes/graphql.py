"""GraphQL at `/graphql`: the part of api.fly.io that is in `schema.graphql`, which Fly's clients and this SDK use."""

from flyasync.emulator.core.errors import ApiError
from flyasync.emulator.http.handler import Handler, Handlers
from flyasync.emulator.http.request import ApiRequest, ApiResponse
from flyasync.emulator.world.world import World

HANDLERS = Handlers[Handler]()


@HANDLERS.serves("graphql")
def execute(world: World, request: ApiRequest) -> ApiResponse:
    """Execute a document; data and errors have status 200, and 501 means that graphql-core is not installed."""
    asked = request.body({"query": "string", "operationName": "string"}, "graphqlRequest")
    try:
        # Importing graphql-core takes longer than starting the emulator, and only this request needs it.
        from flyasync.emulator.http.graphql import engine
    except ModuleNotFoundError as missing:
        if missing.name != "graphql":
            raise
        raise ApiError(501, "GraphQL needs graphql-core: pip install 'flyasync[emulator]'") from None
    variables = asked.get("variables")
    done = engine.execute(
        world,
        asked.get("query") or "",
        variables if isinstance(variables, dict) else {},
        asked.get("operationName"),
    )
    return ApiResponse(body=done.body, not_served=done.not_served)
