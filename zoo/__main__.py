"""The ``zoo`` command. On a base install, which has no training side, it says what to install."""

from __future__ import annotations

import importlib.util
import sys

_NEEDED = ("torch", "torchvision", "accelerate", "sklearn", "pydantic", "yaml", "click", "rich")


def main() -> None:
    missing = [name for name in _NEEDED if importlib.util.find_spec(name) is None]
    if missing:
        print(
            f"zoo: error: the zoo command needs the training side, which is not installed "
            f"(missing: {', '.join(missing)}); run: pip install 'cellzoo[train]'",
            file=sys.stderr,
        )
        sys.exit(1)
    from zoo.cli import cli

    cli(prog_name="zoo")


if __name__ == "__main__":
    main()
