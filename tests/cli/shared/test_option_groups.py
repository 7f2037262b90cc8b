"""Options that are declared as fields of a class, and the help that shows them."""

import click
import pytest
from click.testing import CliRunner

from flyasync.cli.shared.option_groups import GroupedCommand, OptionGroup, option, titled


class Colours(OptionGroup):
    title = "Colours"

    front: str | None = option("--front", help="The front.")
    is_bold: bool = option("--bold", "is_bold", is_flag=True, help="Whether it is bold.")


class Sizes(OptionGroup):
    title = "Sizes"

    width: int = option("--width", type=int, default=3, help="The width.")


def painted(*args: str) -> str:
    found: list[tuple[Colours, Sizes]] = []

    @click.command("paint", cls=GroupedCommand, groups=titled(Sizes, Colours))
    @click.option("--loud", is_flag=True, help="It is loud.")
    @click.pass_context
    def command(ctx: click.Context, /, **_: object) -> None:
        found.append((Colours.of(ctx.params), Sizes.of(ctx.params)))

    output = CliRunner().invoke(command, args).output
    return " ".join(f"{each.front} {each.is_bold} {size.width}" for each, size in found) or output


def test_a_group_takes_its_own_values_from_those_that_click_has_read() -> None:
    assert painted() == "None False 3"
    assert painted("--front", "red", "--bold", "--width", "4", "--loud") == "red True 4"


def test_a_group_is_a_value_that_never_shows_itself() -> None:
    colours = Colours(front="hunter2", is_bold=True)
    assert colours == Colours(front="hunter2", is_bold=True)
    assert hash(colours) == hash(Colours(is_bold=True, front="hunter2"))
    assert "hunter2" not in repr(colours)
    with pytest.raises(AttributeError):
        colours.front = "red"  # type: ignore[misc]


def test_the_help_shows_the_groups_in_order_and_the_others_last() -> None:
    words = painted("--help").split()
    places = [words.index(word) for word in ("Sizes:", "--width", "Colours:", "--front", "--bold", "Help:", "--loud")]
    assert places == sorted(places)
    assert words.index("--help") > words.index("Help:")


def test_a_value_without_a_field_is_not_lost_unnoticed() -> None:
    with pytest.raises(TypeError):
        Colours(front="red")  # type: ignore[call-arg]
    with pytest.raises(KeyError):
        Colours.of({"front": "red"})


class Homes(OptionGroup):
    title = "Homes"

    home: str | None = option("--home", alone="", metavar="[NAME]", help="The home.")
    times: float | None = option("--times", alone="3", type=float, metavar="[N]", help="How often.")
    other: str | None = option("--other", help="Another.")


@pytest.mark.parametrize(
    ("words", "found"),
    [
        ("web", "web None None"),
        ("web --home acme", "web acme None"),
        ("web --home", "web  None"),
        ("web --home --times", "web  3.0"),
        ("--home acme web", "web acme None"),
        ("--home=acme web", "web acme None"),
        # Without another argument, the word is the argument; the value can be attached.
        ("--home web", "web  None"),
        ("--other x --home web --times 4", "web  4.0"),
        ("--home web --other x", "web  None"),
        ("--home -", "-  None"),
        ("--home=acme", "None acme None"),
        ("--home", "None  None"),
        # A number is never the argument.
        ("--times 4", "None None 4.0"),
        ("--home acme --home web", "web  None"),
    ],
)
def test_an_option_whose_value_may_be_omitted_does_not_swallow_the_argument(words: str, found: str) -> None:
    seen: list[str] = []

    @click.command("move", cls=GroupedCommand, groups=titled(Homes))
    @click.argument("app", required=False)
    @click.pass_context
    def command(ctx: click.Context, /, app: str | None, **_: object) -> None:
        homes = Homes.of(ctx.params)
        seen.append(f"{app} {homes.home} {homes.times}")

    result = CliRunner().invoke(command, words.split())
    assert seen == [found], result.output
