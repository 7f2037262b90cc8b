"""Carry out a run over many apps: what is done is left out, the rest is deployed, and each end is shown and kept."""

import asyncio
from contextlib import aclosing, closing

from flyasync.api.client import FlyClient
from flyasync.cli.bulk.executor import executing
from flyasync.cli.bulk.journal import Journal, JournalFile, read
from flyasync.cli.bulk.lines import BulkDisplay
from flyasync.cli.bulk.order import BulkOrder, client, quiet
from flyasync.cli.bulk.summary import changed
from flyasync.cli.bulk.tally import Ended
from flyasync.cli.bulk.work import Work, outlook, run_of
from flyasync.cli.shared.client import PUBLIC_URL
from flyasync.cli.shared.exit_codes import FAILED, NOT_VERIFIED, OK
from flyasync.deploy.many.many import deploy_many
from flyasync.deploy.run.executor import pace

STOPPING = (
    "stopping: no further app is begun, and those under way make no further machine; once more cuts this short",
    "cutting it short",
)


async def run(order: BulkOrder, display: BulkDisplay) -> int:
    """Deploy to all apps of an order that are not done yet, and give the exit code; a dry run only says what it would.

    Cancelled, it begins no further app, cancels those under way and sees them end, and says how far it came before the
    cancellation goes on.
    """
    if order.is_dry:
        await _look(order, display)
        return OK
    async with client(order) as fly:
        with closing(_journal(order, fly, display)) as journal:
            work = Work.of(order, journal)
            if work.remaining.changed.count:
                display.note(changed(work.remaining.changed))
            if order.rehearsal is None and fly.base_url != PUBLIC_URL:
                display.goes_to(fly.base_url)
            await _deploy(work, fly, display)
    if work.tally.lacks_only_proof:
        return NOT_VERIFIED
    return FAILED if work.tally.failed or work.tally.left else OK


async def _deploy(work: Work, fly: FlyClient, display: BulkDisplay) -> None:
    loop = asyncio.get_running_loop()
    async with executing(work.order.executor, display.note) as executor:
        display.begin(work.run, work.tally)
        begun, is_cut = loop.time(), True
        try:
            many = deploy_many(fly, work.builder, work.names(), at_once=work.order.at_once, executor=executor)
            async with aclosing(many) as reports:
                async for report in reports:
                    display.show(work.take(Ended.of(report)))
            is_cut = False
        finally:
            display.finish(work.summary(round(loop.time() - begun, 3), is_cut=is_cut))


def _journal(order: BulkOrder, fly: FlyClient, display: BulkDisplay) -> Journal:
    if order.journal is None:
        return Journal(order.launch)
    return JournalFile(order.journal, order.launch, fly.base_url, display.note)


async def _look(order: BulkOrder, display: BulkDisplay) -> None:
    """Say what would be done, by the file and the journal alone."""
    async with quiet() as fly:
        is_there = order.journal is not None and order.journal.exists()
        story = read(order.journal, order.launch, fly.base_url) if order.journal and is_there else None
        told = outlook(order, story, pace(fly))
    launch = story.launch if story else order.launch or "of a random name"
    display.outline(run_of(order, launch), told, order.at_once)
