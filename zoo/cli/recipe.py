"""``zoo recipe``."""

from __future__ import annotations

import click

from zoo.cli.console import print_table, say
from zoo.cli.options import OVERRIDES


@click.command(short_help="Show a recipe with all its keys, or explain keys.")
@click.argument("recipe", required=False)
@OVERRIDES
@click.option(
    "--keys",
    "topic",
    metavar="TOPIC",
    help="Explain the keys of a family (normnet), a data set (image_folder) or a section (train, optimizer, ...).",
)
def recipe(recipe: str | None, overrides: tuple[str, ...], topic: str | None) -> None:
    """Print RECIPE (a shipped name or a .yaml file) as YAML with every default filled in, or explain keys."""
    if (recipe is None) == (topic is None):
        raise click.UsageError("give a recipe, or --keys TOPIC")
    if topic is None:
        from zoo.recipe import load_recipe

        say(load_recipe(recipe or "", overrides).to_yaml(), end=False)
        return
    from zoo.recipe.reference import keys_of, notes_of

    for title, keys in keys_of(topic).items():
        say(title, bold=True)
        print_table(
            [{"key": key.path, "allowed": key.allowed, "default": key.default, "meaning": key.meaning} for key in keys]
        )
        say()
    if notes_of(topic):
        say(notes_of(topic))
