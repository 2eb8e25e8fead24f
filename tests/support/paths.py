"""Folders that tests read from."""

from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
"""The repository."""
GOLDEN = ROOT / "tests" / "golden"
DOCS = ROOT / "docs"
