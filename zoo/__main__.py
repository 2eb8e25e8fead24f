"""The ``zoo`` command."""

from __future__ import annotations

import sys


def main() -> None:
    """Run the ``zoo`` command on the arguments of this process."""
    try:
        from zoo.cli import cli  # here, so that Ctrl-C during the import ends in one line as well

        cli(prog_name="zoo")
    except KeyboardInterrupt:
        sys.stderr.write("zoo: error: interrupted\n")
        sys.exit(130)


if __name__ == "__main__":
    main()
