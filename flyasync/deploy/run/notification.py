"""Posts the report of a deploy to webhooks once it is over, without any effect on the result."""

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from typing import Any

from flyasync.api.webhook import Webhook
from flyasync.deploy.reporting.events import Event, Finished, OnEvent
from flyasync.errors import FlyError


def finished_as_json(event: Finished) -> dict[str, Any]:
    """Return the last event of a deploy as JSON: the document that a webhook receives."""
    return {"event": "finished", "at": event.at, "report": event.report.to_dict()}


@asynccontextmanager
async def notifying(
    webhooks: Sequence[Webhook], document: Callable[[Finished], Any] = finished_as_json
) -> AsyncIterator[OnEvent]:
    """Yield an observer; at the end of the block, whatever ends it, post the report that it has received.

    If the block is cancelled, the report is posted too; a second cancellation interrupts that.
    """
    finished: list[Finished] = []

    def observe(event: Event) -> None:
        if isinstance(event, Finished):
            finished.append(event)

    try:
        yield observe
    finally:
        for event in finished:
            await post(webhooks, document(event))


async def post(webhooks: Sequence[Webhook], document: Any) -> None:
    """Post a document to all webhooks at once; an error is passed to the exception handler of the loop."""
    results = await asyncio.gather(*(each.deliver(document) for each in webhooks), return_exceptions=True)
    for error in results:
        if isinstance(error, FlyError):
            context = {"message": "the report could not be posted", "exception": error}
            asyncio.get_running_loop().call_exception_handler(context)
        elif error is not None:
            raise error
