"""The ``zoo`` command as a user types it, run in this process."""

from __future__ import annotations

from click.testing import CliRunner, Result

from zoo.cli import cli

QUICK = ["-o", "train.epochs=1", "-o", "model.outer_steps=3", "-o", "data.augment={}", "--quiet"]


def run(*arguments: str) -> Result:
    """Run ``zoo ARGUMENTS``."""
    return CliRunner().invoke(cli, list(arguments), prog_name="zoo")


def fails(code: int, *arguments: str) -> str:
    """Run a command that exits with ``code`` and return its single line of stderr."""
    result = run(*arguments)
    assert result.exit_code == code, result.output
    lines = result.stderr.strip().splitlines()
    assert len(lines) == 1, result.stderr
    assert "Traceback" not in result.stderr
    return lines[0]


def runs(*arguments: str) -> str:
    """Run a command that succeeds and return its stdout."""
    result = run(*arguments)
    assert result.exit_code == 0, result.output
    return result.stdout
