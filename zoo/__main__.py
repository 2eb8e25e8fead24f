"""The ``zoo`` command."""

from __future__ import annotations

from zoo.cli import cli


def main() -> None:
    """Run the ``zoo`` command on the arguments of this process."""
    cli(prog_name="zoo")


if __name__ == "__main__":
    main()
