"""Findings: the result of a lint rule, an error or a warning."""

from collections.abc import Iterable

from attrs import field, frozen

from flyasync.errors import InvalidInput


@frozen
class Finding:
    """One problem in a value.

    `code` names the rule, `path` the position in the value. `message` describes the problem, `advice` the solution. A
    `certain` finding is one that the API would refuse; any other is a warning.
    """

    code: str
    path: str
    message: str
    advice: str
    certain: bool = field(default=True, kw_only=True)

    def __str__(self) -> str:
        return f"{self.path}: {self.message}; {self.advice}"


def warning(code: str, path: str, message: str, advice: str) -> Finding:
    """Return a finding about a value that the API accepts, but that is unwise."""
    return Finding(code, path, message, advice, certain=False)


def refuse(findings: Iterable[Finding]) -> None:
    """Raise InvalidInput with all certain findings; do nothing if there are none."""
    certain = [str(finding) for finding in findings if finding.certain]
    if certain:
        raise InvalidInput(". ".join(certain))
