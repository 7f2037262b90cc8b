"""What a rule says of a value, and when that stands in the way."""

from collections.abc import Iterable

from attrs import field, frozen

from flyasync.errors import InvalidInput


@frozen
class Finding:
    """One thing that is wrong with a value.

    `code` names the rule, `path` says where, `message` names value and rule, `advice` the way out. A `certain` finding
    is one that the API would refuse; any other one is a warning.
    """

    code: str
    path: str
    message: str
    advice: str
    certain: bool = field(default=True, kw_only=True)

    def __str__(self) -> str:
        return f"{self.path}: {self.message}; {self.advice}"


def warning(code: str, path: str, message: str, advice: str) -> Finding:
    """Make a finding about what the API takes, but is unwise."""
    return Finding(code, path, message, advice, certain=False)


def refuse(findings: Iterable[Finding]) -> None:
    """Raise InvalidInput that names every certain finding; nothing if there is none."""
    certain = [str(finding) for finding in findings if finding.certain]
    if certain:
        raise InvalidInput(". ".join(certain))
