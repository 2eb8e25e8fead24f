"""The ``zoo`` command."""

from __future__ import annotations

import signal


def main() -> None:
    """Run the ``zoo`` command on the arguments of this process.

    Ctrl-C ends the process silently until a command begins, which then handles signals itself, and after its end.
    """
    if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
        signal.signal(signal.SIGINT, signal.SIG_DFL)  # else an import would end in a traceback, click in "Aborted!"
    from zoo.cli import cli

    cli(prog_name="zoo")


if __name__ == "__main__":
    main()
