"""The commands about artifacts that exist: parses, calls, prints."""

from __future__ import annotations

from pathlib import Path

import click

from zoo.cli_options import AS_JSON, DATA_DIR, print_json


@click.command()
@click.argument("model")
@click.option("--format", "form", type=click.Choice(["onnx"]), default="onnx", show_default=True, help="What to write.")
@click.option("--preprocessing", is_flag=True, help="Raw inputs in, probabilities out (with --out).")
@click.option("--out", type=click.Path(path_type=Path), help="A file of its own (default: into the artifact).")
@click.option("--overwrite", is_flag=True, help="Replace the file of --out if it is there.")
@click.option("--member", metavar="NAME", help="One network of an ensemble alone, such as coarse (with --out).")
@DATA_DIR
def export(
    model: str,
    form: str,
    preprocessing: bool,
    out: Path | None,
    overwrite: bool,
    member: str | None,
    data_dir: Path | None,
) -> None:
    """Write MODEL (a name or an artifact's folder) as ONNX, checked against torch, into its artifact or to a file."""
    from zoo.reexport import add_onnx, export_file

    if out is None and preprocessing:
        raise click.UsageError("an artifact's file takes prepared inputs; give --out FILE for --preprocessing")
    if out is None and member is not None:
        raise click.UsageError("an artifact's file holds the whole model; give --out FILE for --member")
    if out is None:
        exported = add_onnx(model, data_dir)
    else:
        exported = export_file(model, out, preprocessing, overwrite, data_dir, member)
    if exported.uncompared:
        click.echo(f"zoo: note: not compared with torch on the test set: {exported.uncompared}", err=True)
    click.echo(f"{form}: {exported.path} ({exported.path.stat().st_size:,} bytes)")


@click.command()
@click.argument("model")
@DATA_DIR
@AS_JSON
def probe(model: str, data_dir: Path | None, as_json: bool) -> None:
    """Look inside MODEL (a name or an artifact's folder) as its family does; figures and findings go to its card."""
    from zoo.probe import probe_model

    folder, findings = probe_model(model, data_dir)
    if as_json:
        print_json(findings.metrics)
        return
    click.echo(findings.text.strip())
    for path in (*(f"figures/{name}" for name in findings.figures), "probe.md", "README.md"):
        click.echo(f"written: {folder / path}")


@click.command()
@click.argument("model")
def card(model: str) -> None:
    """Render the model card of MODEL (a name or an artifact's folder) anew; notes between its markers stay."""
    from zoo.stored import render_card

    click.echo(f"card: {render_card(model)}")


@click.command()
@click.argument("name")
@click.option("--repo-id", required=True, metavar="USER/NAME", help="The repo on the Hub; made if it is not there.")
@click.option("--private", is_flag=True, help="Make the new repo private.")
@click.option("--revision", default="main", show_default=True, help="Branch to push to; made if it is not there.")
@click.option("--create-pr", is_flag=True, help="Open a pull request instead of changing the branch.")
@click.option("--message", help="The commit's message.")
@click.option("--dry-run", is_flag=True, help="Check everything and say what would be done; write nothing.")
def push(
    name: str, repo_id: str, private: bool, revision: str, create_pr: bool, message: str | None, dry_run: bool
) -> None:
    """Check the trained model NAME (or an artifact's folder) and upload it to the Hub as one commit."""
    from sdk.catalogue import find_model
    from zoo.hub import push_artifact

    folder = find_model(name)
    done = push_artifact(
        folder, repo_id, private=private, revision=revision, create_pr=create_pr, message=message, dry_run=dry_run
    )
    for line in done.report():
        click.echo(line)


@click.command()
@click.argument("model", metavar="USER/NAME[@REVISION]")
@click.option("--backend", default="auto", show_default=True, help="The backend whose files are wanted.")
@click.option("--out", type=click.Path(path_type=Path), help="Write all files to this new folder.")
def pull(model: str, backend: str, out: Path | None) -> None:
    """Download a model from the Hub into the cache, verify it, and say which commit it is."""
    from zoo.pull import pull_artifact

    pulled = pull_artifact(model, backend, out)
    click.echo(f"model: {pulled.origin}")
    click.echo(f"files: {', '.join(sorted(pulled.verified))}")
    click.echo(f"folder: {out or pulled.folder}")


COMMANDS = (export, probe, card, push, pull)
