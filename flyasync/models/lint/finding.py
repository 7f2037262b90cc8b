"""What a rule finds in a value, and when that is an error."""

from collections.abc import Iterable

from attrs import field, frozen

from flyasync.errors import InvalidInput


@frozen
class Finding:
    """One thing that is wrong with a value.

    `code` names the rule, `path` the place, `message` the value and what is wrong with it; `advice` is what to do. A
    `certain` finding is one that the API would refuse; any other one is a warning.
    """

    code: str
    path: str
    message: str
    advice: str
    certain: bool = field(default=True, kw_only=True)

    def __str__(self) -> str:
        return f"{self.path}: {self.message}; {self.advice}"


def warning(code: str, path: str, message: str, advice: str) -> Finding:
    """Return a finding about something that the API takes, but that is unwise."""
    return Finding(code, path, message, advice, certain=False)


def refuse(findings: Iterable[Finding]) -> None:
    """Raise InvalidInput that names every certain finding; do nothing without any."""
    certain = [str(finding) for finding in findings if finding.certain]
    if certain:
        raise InvalidInput(". ".join(certain))
