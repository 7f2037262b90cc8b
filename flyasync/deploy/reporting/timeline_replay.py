"""The recording of a deploy in the page of its report: the live page, drawn from events that are in the page."""

import base64
import hashlib
import json
from collections.abc import Iterable
from typing import Any

from attrs import frozen

from flyasync.deploy.markup import Html, printable
from flyasync.deploy.reporting.page_assets import Positions, asset, whole_script
from flyasync.deploy.reporting.phase import Phase
from flyasync.deploy.reporting.result import Result
from flyasync.deploy.reporting.status import Status
from flyasync.deploy.reporting.styles import Look

Json = dict[str, Any]

NOTHING = Html()


@frozen(kw_only=True)
class TimelineReplay:
    """What a page needs to show a deploy at any time of it: elements, a style sheet, and a script.

    `allowed` is the source of the script for a Content-Security-Policy: nothing else can run in the page.
    """

    elements: Html = NOTHING
    style: str = ""
    script: Html = NOTHING
    allowed: str = "'none'"

    @classmethod
    def of(cls, events: Iterable[Json], positions: Positions) -> "TimelineReplay":
        """Return the recording of events, on a map with the positions of the platform's regions."""
        data = {"words": page_words(), "positions": positions, "events": list(events)}
        script = whole_script()
        digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
        return cls(
            elements=Html(asset("live.html")),
            style=asset("live.css"),
            script=Html(
                f'<script type="application/json" id="recording">{_in_a_page(data)}</script>\n'
                f'<script type="module">{script}</script>\n'
            ),
            allowed=f"'sha256-{digest}'",
        )


def page_words() -> Json:
    """Return the meaning of the words in the events: their looks, the signs of the looks, and which phases are last."""
    words = (*Phase, *Result, *Status)
    return {
        "looks": {str(word): str(word.look) for word in words},
        "signs": {str(look): look.sign for look in Look},
        "over": [str(phase) for phase in Phase if phase.is_over],
    }


def _in_a_page(data: Any) -> str:
    """Return JSON that cannot end the element that it is in; unprintable characters are replaced."""
    text = json.dumps(printable_json(data), ensure_ascii=False, separators=(",", ":"))
    return text.replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026")


def printable_json(data: Any) -> Any:
    """Return JSON whose texts have no control characters, bidi overrides or surrogates."""
    match data:
        case str():
            return printable(data)
        case dict():
            return {printable_json(key): printable_json(value) for key, value in data.items()}
        case list() | tuple():
            return [printable_json(each) for each in data]
        case _:
            return data
