"""A Markdown extension: replaces each line `## {{ cli NAME }}` by the reference of that command."""

from markdown import Extension, Markdown
from markdown.preprocessors import Preprocessor

from docs.cli_reference import expanded


class CLIReference(Extension):  # type: ignore[misc]
    """Replace each `## {{ cli NAME }}` line by the reference of that command."""

    def extendMarkdown(self, md: Markdown) -> None:  # noqa: N802 - the name is Markdown's
        """Register the preprocessor: after line ends are normalized (30), before code fences are read (25)."""
        md.preprocessors.register(_Directives(md), "flyasync-cli", 28)


class _Directives(Preprocessor):  # type: ignore[misc]
    def run(self, lines: list[str]) -> list[str]:
        return [written for line in lines for written in expanded(line)]


def makeExtension() -> CLIReference:  # noqa: N802 - the name is Markdown's
    """Return the extension; Markdown looks for this name."""
    return CLIReference()
