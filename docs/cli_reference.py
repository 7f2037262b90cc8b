"""The reference of the command, written from click itself.

A line `## {{ cli machines }}` of a page becomes the whole reference of `flyasync machines`: usage, options, examples,
and the same for each of its subcommands, under headings one level below.
"""

import html
import re
from collections.abc import Iterator

import click

from flyasync.cli.main import command as root

DIRECTIVE = re.compile(r"(#*) ?\{\{ cli ([a-z -]+) \}\}")


def expanded(line: str) -> list[str]:
    """Return the reference that a directive asks for, or the line as it is."""
    found = DIRECTIVE.fullmatch(line.strip())
    return list(reference(*found[2].split(), level=len(found[1]))) if found else [line]


def reference(*path: str, level: int) -> Iterator[str]:
    """Yield the reference of a command and its subcommands, as lines of Markdown."""
    context = click.Context(root, info_name="flyasync")
    command: click.Command = root
    for name in path:
        assert isinstance(command, click.Group)  # noqa: S101 - a directive that names no command must fail the build
        found = command.get_command(context, name)
        assert found, f"there is no command {' '.join(path)!r}"  # noqa: S101 - as above
        command = found
        context = click.Context(command, info_name=name, parent=context)
    yield from _described(command, context, level=level)


def _described(command: click.Command, context: click.Context, *, level: int) -> Iterator[str]:
    usage = " ".join(context.command.collect_usage_pieces(context))
    yield from (f"{'#' * level} {context.command_path}", "", "```text", f"{context.command_path} {usage}", "```", "")
    yield from (*_paragraphs(command.help or ""), "")
    yield from _options(command, context)
    yield from _paragraphs(command.epilog or "")
    if isinstance(command, click.Group):
        for name in command.list_commands(context):
            child = command.get_command(context, name)
            if child and not child.hidden:
                inner = click.Context(child, info_name=name, parent=context)
                yield from _described(child, inner, level=min(level + 1, 4))


def _options(command: click.Command, context: click.Context) -> Iterator[str]:
    """Yield a table of the options, with a row for the title of each group where they have groups."""
    groups: dict[str, list[click.Parameter]] = {}
    titles = {each: title for title, options in getattr(command, "_groups", {}).items() for each in options}
    for each in command.get_params(context):
        if isinstance(each, click.Option) and "--help" not in each.opts:
            groups.setdefault(titles.get(each, ""), []).append(each)
    if not groups:
        return
    yield from ("| option | meaning |", "| --- | --- |")
    for title, options in groups.items():
        if title:
            yield f"| **{title}** | |"
        for each in options:
            record = each.get_help_record(context)
            if record:
                names, text = (" ".join(part.split()) for part in record)
                yield f"| {_code_cell(names)} | {_plain(text)} |"
    yield ""


def _paragraphs(text: str) -> Iterator[str]:
    r"""Yield the paragraphs of a help text; those that click keeps as they are (`\b`) become code."""
    kept: list[str] = []
    for paragraph in text.strip().split("\n\n"):
        blocks = [block.strip("\n") for block in re.split(r"^\s*\x08\n?", paragraph, flags=re.MULTILINE)]
        if len(blocks) == 1:
            yield from _code(kept)
            kept = []
            yield from (_plain(" ".join(blocks[0].split())), "")
        else:
            # Paragraphs of examples follow one another, and are one block.
            kept += filter(None, blocks)
    yield from _code(kept)


def _code(blocks: list[str]) -> Iterator[str]:
    lines = "\n\n".join(blocks).splitlines()
    if lines and lines[0].strip() in {"Examples:", "Example:"}:
        yield from ("Examples:", "")
        lines = lines[1:]
    if lines:
        indent = min((len(line) - len(line.lstrip()) for line in lines if line.strip()), default=0)
        yield from ("```sh", *(line[indent:] for line in lines), "```", "")


def _code_cell(text: str) -> str:
    """Return code for a cell, which may be broken between the values of a choice."""
    return f"<code>{html.escape(text).replace('|', '&#124;<wbr>')}</code>"


def _plain(text: str) -> str:
    """Return text that Markdown shows as it is, also in a table, with the names of options as code."""
    text = html.escape(re.sub(r"([*_\[\]|])", r"\\\1", text), quote=False)
    return re.sub(r"(?<![\w-])--[a-z][a-z-]*", r"`\g<0>`", text)
