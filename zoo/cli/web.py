"""``zoo web``."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import TYPE_CHECKING

import click
from click.core import ParameterSource

from zoo.web import FULL_PRECISION, PRECISIONS

if TYPE_CHECKING:
    from http.server import ThreadingHTTPServer


@click.command(short_help="Write a static site that runs models in a browser.")
@click.argument("names", metavar="NAME...", nargs=-1, required=True)
@click.option("--out", type=click.Path(path_type=Path), default="site", show_default=True, help="Folder of the site.")
@click.option("--overwrite", is_flag=True, help="Replace the site in that folder.")
@click.option("--serve", is_flag=True, help="Serve the site on this machine until Ctrl-C, and open it in a browser.")
@click.option("--port", type=click.IntRange(0, 65535), default=8000, show_default=True, help="Port; 0 means any.")
@click.option("--no-browser", is_flag=True, help="With --serve, open no browser.")
@click.option(
    "--samples",
    type=click.IntRange(0, 1000),
    default=100,
    show_default=True,
    help="Test samples per model.",
)
@click.option(
    "--precision",
    type=click.Choice(PRECISIONS),
    default=FULL_PRECISION,
    show_default=True,
    help="Numbers in which the site stores weights; fp16 halves its files, and the page computes in float32.",
)
@click.option("--data-dir", type=click.Path(path_type=Path), help="Folder of data sets (default: as `zoo eval`).")
@click.option("--runtime", type=click.Path(path_type=Path), help="Folder of onnxruntime-web (default: npm fetches it).")
def web(
    names: tuple[str, ...],
    out: Path,
    overwrite: bool,
    serve: bool,
    port: int,
    no_browser: bool,
    samples: int,
    precision: str,
    data_dir: Path | None,
    runtime: Path | None,
) -> None:
    """Write a static site that shows the models NAME... and runs them in the visitor's browser.

    The site needs no server code and loads nothing from other hosts. Upload its folder to any static host, or to a
    Space with `zoo push FOLDER --space`.
    """
    from contextlib import ExitStack

    from zoo.cli.console import note
    from zoo.web.serve import site_server
    from zoo.web.site import build_site

    with ExitStack() as stack:
        # A port that is taken is reported before a site is built, which may take a minute.
        server = stack.enter_context(site_server(out, port)) if serve else None
        site = build_site(
            names,
            out,
            runtime=runtime,
            samples=samples,
            data_dir=data_dir,
            precision=precision,
            overwrite=overwrite,
            note=note,
        )
        click.echo(f"models: {', '.join(site.models)}")
        click.echo(f"site: {site.folder} ({site.size / 2**20:.1f} MiB)")
        if server is None:
            click.echo(f"look at it: {_serving_command()}")
        else:
            _serve(server, not no_browser)


def _serving_command() -> str:
    """Return the command that writes the same site again and serves it."""
    context = click.get_current_context()
    given = ["zoo", "web", *context.params["names"], "--out", str(context.params["out"])]
    for name in ("samples", "precision", "data_dir", "runtime"):
        if context.get_parameter_source(name) is ParameterSource.COMMANDLINE:
            given += [f"--{name.replace('_', '-')}", str(context.params[name])]
    return shlex.join([*given, "--overwrite", "--serve"])


def _serve(server: ThreadingHTTPServer, browser: bool) -> None:
    """Serve until Ctrl-C."""
    import webbrowser
    from contextlib import suppress

    from zoo.web.serve import address

    click.echo(f"serving: {address(server)} (Ctrl-C stops it)")
    if browser:
        webbrowser.open(address(server))
    with suppress(KeyboardInterrupt):
        server.serve_forever()
