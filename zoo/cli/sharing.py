"""``zoo push`` and ``zoo pull``."""

from __future__ import annotations

from pathlib import Path

import click

from zoo.cli.console import print_table, say
from zoo.cli.options import AS_JSON, print_json


@click.command(short_help="Upload a model to the Hub.")
@click.argument("name")
@click.option("--repo-id", required=True, metavar="USER/NAME", help="The repo on the Hub; created if missing.")
@click.option("--private", is_flag=True, help="Create the repo as private.")
@click.option("--revision", default="main", show_default=True, help="Branch to push to; created if missing.")
@click.option("--create-pr", is_flag=True, help="Open a pull request instead of changing the branch.")
@click.option("--message", help="Commit message.")
@click.option("--dry-run", is_flag=True, help="Check everything and report the push; write nothing.")
@click.option("--space", is_flag=True, help="NAME is the folder of a site that `zoo web` wrote; upload it as a Space.")
def push(
    name: str,
    repo_id: str,
    private: bool,
    revision: str,
    create_pr: bool,
    message: str | None,
    dry_run: bool,
    space: bool,
) -> None:
    """Check the trained model NAME (or an artifact's folder) and upload it to the Hub as one commit.

    With --space, NAME is the folder of a site, which becomes a static Space.
    """
    if space:
        _push_space(name, repo_id, private, revision, create_pr, message, dry_run)
        return
    from sdk.resolve import find_model
    from zoo.artifacts.push import push_artifact

    folder = find_model(name)
    done = push_artifact(
        folder, repo_id, private=private, revision=revision, create_pr=create_pr, message=message, dry_run=dry_run
    )
    for line in done.report():
        say(line)


def _push_space(
    name: str, repo_id: str, private: bool, revision: str, create_pr: bool, message: str | None, dry_run: bool
) -> None:
    from zoo.web.space import push_space

    if create_pr or revision != "main":
        raise click.UsageError("--space: a Space is built from its branch main; leave out --create-pr and --revision")
    for line in push_space(Path(name), repo_id, private=private, message=message, dry_run=dry_run).report():
        click.echo(line)


@click.command(short_help="Download a model from the Hub.")
@click.argument("model", metavar="USER/NAME[@REVISION]")
@click.option("--backend", default="auto", show_default=True, help="Download the files of this backend.")
@click.option("--out", type=click.Path(path_type=Path), help="Write all files to this new folder instead.")
def pull(model: str, backend: str, out: Path | None) -> None:
    """Download a model from the Hub into the cache, verify it and show its commit."""
    from zoo.artifacts.pull import pull_artifact

    pulled = pull_artifact(model, backend, out)
    say(f"model: {pulled.origin}")
    say(f"files: {', '.join(sorted(pulled.verified))}")
    say(f"folder: {out or pulled.folder}")


@click.command(short_help="Search models on the Hub.")
@click.argument("query", required=False)
@click.option("--author", metavar="USER", help="Only models of this user or organization.")
@click.option("--limit", type=click.IntRange(1, 1000), default=20, show_default=True, help="Most models to list.")
@AS_JSON
def search(query: str | None, author: str | None, limit: int, as_json: bool) -> None:
    """List cellzoo's models on the Hub whose name contains QUERY, those changed last first."""
    from sdk.hub.listing import search_hub

    found = search_hub(query, author, limit)
    if as_json:
        print_json([entry.to_json() for entry in found])
    elif not found:
        say("no models")
    else:
        print_table([{key: value for key, value in entry.to_json().items() if key != "tags"} for entry in found])
