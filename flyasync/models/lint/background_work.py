"""Whether a machine does background work, which autostop would interrupt."""

import re
from collections.abc import Iterator
from itertools import groupby
from typing import Final

from flyasync.models.config import MachineConfig
from flyasync.models.lint.finding import Finding, warning
from flyasync.models.lint.services import STOPS

# Usual names of programs that process a queue.
_WORKERS: Final = re.compile(
    r"(^|[^a-z])(workers?|queues?|jobs?|consumers?|background|cron|celery|sidekiq|rq|dramatiq|huey|arq|resque|bullmq)"
    r"($|[^a-z])",
    re.IGNORECASE,
)
_SEPARATORS: Final = ("&&", "||", ";", "|", "&")
# Programs that only start another one, and their options and settings.
_LAUNCHERS: Final = re.compile(
    r"(ba|da|z)?sh|env|exec|tini|dumb-init|catatonit|gosu|su-exec|nice|nohup|python[\d.]*|uv|poetry|pipenv|hatch|pdm"
    r"|manage\.py|ruby|bundle|rails|rake|node|nodejs|deno|bun|bunx|npm|npx|yarn|pnpm|php\d*|artisan|console|java|run|x"
    r"|-.*|\w+=.*"
)


def warn_of_worker(config: MachineConfig) -> Iterator[Finding]:
    """Warn of autostop on a machine that does background work, judging by its names."""
    found = next(filter(None, map(_WORKERS.search, _names_of_work(config))), None)
    for number, service in enumerate(config.services or ()):
        if found is not None and service.autostop in STOPS:
            message = (
                f"{found.group(2)!r} suggests background work, which the proxy interrupts when there are no connections"
            )
            advice = 'set autostop to "off", or run it in a process group without services'
            yield warning("worker-autostop", f"services[{number}].autostop", message, advice)


def _names_of_work(config: MachineConfig) -> Iterator[str]:
    """Yield the names that describe what a machine does: its process group, and the programs that its commands run."""
    yield str((config.metadata or {}).get("fly_process_group") or "")
    init = config.init
    for words in (init.exec, init.entrypoint, init.cmd) if init is not None else ():
        # 1. Split into commands as a shell would. One word may contain several, as in `sh -c "migrate && serve"`.
        split = [word for text in words or () for word in text.split()]
        for separates, command in groupby(split, lambda word: word in _SEPARATORS):
            names = [word.strip("\"'").rpartition("/")[2] for word in command]
            # 2. Options of a program that the image names do not describe the work.
            if separates or names[0].startswith("-"):
                continue
            # 3. The program, or the first program or script that a launcher starts; its options follow, as in
            # `gunicorn --workers 4`.
            yield from [name for name in names if not _LAUNCHERS.fullmatch(name)][:1]
