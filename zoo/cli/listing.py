"""``zoo list`` and ``zoo info``."""

from __future__ import annotations

from typing import Any

import click

from sdk.text import printable
from zoo.cli.console import note, print_facts, print_table, say
from zoo.cli.options import AS_JSON, print_json


@click.command("list", short_help="List recipes and trained models.")
@click.option("--family", help="List only models of this family.")
@AS_JSON
def list_command(family: str | None, as_json: bool) -> None:
    """List recipes and trained models, your own and bundled ones, with their accuracy, parameters and size.

    A baseline is an ordinary network, here to be compared with.
    """
    from zoo.artifacts.catalog import list_rows

    rows = list_rows(family)
    if as_json:
        print_json(rows)
        return
    print_table([_shown(row) for row in rows])
    for row in rows:
        if row["damaged"]:
            note(f"damaged: {row['damaged']}")
    if any(row["shadowed"] for row in rows):
        note("a shadowed model is bundled, and one of your own has its name; write bundled:NAME for it")


def _shown(row: dict[str, Any]) -> dict[str, Any]:
    """Return the columns of the table; the place says if the name means another model, or if the model is damaged."""
    remark = "shadowed" if row["shadowed"] else "damaged" if row["damaged"] else None
    where = f"{row['where']}, {remark}" if remark else row["where"]
    columns = {key: value for key, value in row.items() if key not in ("baseline", "shadowed", "damaged")}
    family = f"{row['family']} (baseline)" if row["baseline"] else row["family"]
    return {**columns, "family": family, "where": where, "recipe": "yes" if row["recipe"] else None}


@click.command(short_help="Show a recipe and its trained model.")
@click.argument("name")
@AS_JSON
def info(name: str, as_json: bool) -> None:
    """Show the recipe and the trained model NAME (or a recipe file, or an artifact's folder)."""
    from zoo.artifacts.catalog import describe
    from zoo.recipe import to_yaml

    facts = describe(name)
    if as_json:
        print_json(facts)
        return
    if "model" in facts:
        model = facts["model"]
        say(printable(f"{model['name']} {model['version']}"), bold=True)
        print_facts(_model_facts(model))
    if "recipe" in facts:
        say("recipe", bold=True)
        for line in to_yaml(facts["recipe"]).splitlines():
            say(f"  {line}")


def _model_facts(model: dict[str, Any]) -> dict[str, str]:
    """Return the facts to print about a trained model; a probe's numbers are left to the card."""
    metrics, made = model["metrics"], model["provenance"]
    shape = " x ".join(map(str, model["input"]["shape"]))
    facts = {"family": model["family"] + (", a baseline" if model["baseline"] else "")}
    if "test_accuracy" in metrics:
        low, high = metrics["test_interval_95"]
        facts["test accuracy"] = (
            f"{metrics['test_accuracy']:.2%}, {metrics['test_correct']:,} of {metrics['test_total']:,} "
            f"(95% interval {low:.2%} to {high:.2%})"
        )
    if "seed_results" in metrics:
        facts["seeds"] = (
            f"{metrics['seeds']}: mean {metrics['test_accuracy_mean']:.2%}, "
            f"standard deviation {metrics['test_accuracy_std']:.2%}"
        )
    facts["parameters"] = f"{model['parameters']:,}"
    facts["input"] = f"{model['input']['kind']} of {shape}"
    facts |= {"labels": ", ".join(model["labels"])} if model["labels"] else {"task": model["task"]}
    facts["backends"] = ", ".join(model["backends"])
    if "data" in made:
        parts = ", ".join(
            f"{made['data'][part]:,} {part}" for part in ("train", "validation", "test") if part in made["data"]
        )
        facts["data"] = made["data"]["name"] + (f" ({parts})" if parts else "")
    if "steps" in made:
        facts["trained"] = (
            f"{made['date'][:10]}, {made['steps']:,} steps in {made['wall_seconds']:,.0f} s, seed {made['seed']}"
        )
    if "start_from" in made:
        start = made["start_from"]
        place = f"{start['repo']}@{start['commit']}" if "repo" in start else start["origin"]
        total = start["taken_parameters"] + start["new_parameters"]
        facts["started from"] = f"{place}: {start['taken_parameters']:,} of {total:,} parameters taken"
    if "versions" in made:
        facts["made with"] = ", ".join(f"{package} {version}" for package, version in made["versions"].items())
    facts["licence"] = model["licence"]
    facts["origin"] = model["origin"]
    return facts
