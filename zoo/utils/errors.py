"""Errors that zoo raises on purpose. Each message says what was found, what is allowed and how to fix it.

All derive from :class:`sdk.errors.CellzooError`, which is no ValueError: the command line prints these in one line, and
reports anything else as a bug.
"""

from __future__ import annotations

from sdk.errors import CellzooError


class SettingError(CellzooError, ValueError):
    """An environment variable with a value that is not allowed."""


class KernelsError(CellzooError, ImportError):
    """Compiled kernels that were not built or cannot be loaded."""


class FamilyError(CellzooError, ValueError):
    """A family that does not exist."""


class BuildError(CellzooError, ValueError):
    """A model config that does not fit the shape or the classes of the data."""


class RecipeError(CellzooError):
    """A recipe that cannot be found, read or used; one line per problem."""


class DataError(CellzooError):
    """A data set that is missing, damaged or not what the recipe says."""


class TrainingError(CellzooError):
    """Training that cannot start or continue; says where, why and what to try."""


class TrainingInterruptedError(TrainingError):
    """Training stopped by the user; the message says how to resume it."""


class CheckpointError(CellzooError):
    """A checkpoint that is missing, damaged, or not of this run."""


class ExportError(CellzooError):
    """An artifact or file that cannot be written, or that does not compute what it was made from."""


class CardError(CellzooError):
    """A model card whose hand-written notes cannot be separated from the rest."""


class ProbeError(CellzooError):
    """A model that cannot be probed."""


class BenchError(CellzooError):
    """A benchmark that cannot run, or contenders that do not compute the same."""
