"""``zoo web``."""

from __future__ import annotations

from pathlib import Path

import click

from zoo.web import FULL_PRECISION, PRECISIONS


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
    from zoo.cli.console import note
    from zoo.web.site import build_site

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
    if serve:
        _serve(site.folder, port, not no_browser)
    else:
        click.echo(f"look at it: zoo web {' '.join(names)} --out {out} --overwrite --serve")


def _serve(folder: Path, port: int, browser: bool) -> None:
    """Serve until Ctrl-C."""
    import webbrowser
    from contextlib import suppress

    from zoo.web.serve import address, site_server

    with site_server(folder, port) as server:
        click.echo(f"serving: {address(server)} (Ctrl-C stops it)")
        if browser:
            webbrowser.open(address(server))
        with suppress(KeyboardInterrupt):
            server.serve_forever()
