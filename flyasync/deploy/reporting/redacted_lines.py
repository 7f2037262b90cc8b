"""Lines of text without the values that are redacted from a spec."""

from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Self

from attrs import field, frozen

from flyasync.deploy.reporting.spec_json import RELEASE_COMMAND, VERIFICATION
from flyasync.models.redaction import HIDDEN, without_passwords

_SHORTEST_SECRET = 8  # characters; a shorter one may be part of any text by chance


@frozen
class RedactedLines:
    """Redacts values in texts, and the passwords of URLs."""

    _values: tuple[str, ...] = field(default=(), repr=False)

    @classmethod
    def of(cls, redacted: Mapping[str, Any]) -> Self:
        """Return what redacts these values, which `write_spec` has redacted from a spec."""
        # The longest is replaced first, as it may contain another. Short values are not replaced, since any text may
        # contain them by chance; commands always are.
        texts = [text for text in _texts(list(redacted.values())) if len(text) >= _SHORTEST_SECRET]
        texts += [redacted[name] or "" for name in (RELEASE_COMMAND, VERIFICATION) if name in redacted]
        return cls(tuple(sorted(filter(None, texts), key=len, reverse=True)))

    def of_texts(self, texts: Iterable[str]) -> list[str]:
        """Return texts without the redacted values, which any of them may contain."""
        redacted = []
        for text in texts:
            for value in self._values:
                text = text.replace(value, HIDDEN)  # noqa: PLW2901 - each value in turn
            redacted.append(without_passwords(text))
        return redacted


def _texts(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, Mapping | list):
        yield from (text for each in (value.values() if isinstance(value, Mapping) else value) for text in _texts(each))
