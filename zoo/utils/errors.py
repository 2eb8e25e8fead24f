"""Errors that zoo raises on purpose. Each message says what was found, what is allowed and how to fix it.

All derive from :class:`sdk.errors.CellzooError`, which is not a ValueError: the command line prints these errors on one
line and reports any other exception as a bug.
"""

from __future__ import annotations

from sdk.errors import CellzooError, CellzooWarning
from sdk.errors import KernelsError as KernelsError
from sdk.errors import SettingError as SettingError


class FamilyError(CellzooError, ValueError):
    """No family has this name, or its package is missing or broken."""


class BuildError(CellzooError, ValueError):
    """A model config does not fit the shape or the classes of the data."""


class RecipeError(CellzooError):
    """A recipe cannot be found, read or used; the message has one line per problem."""


class DataError(CellzooError):
    """A data set is missing, damaged or not what the recipe says."""


class TrainingError(CellzooError):
    """Training cannot start or continue; the message says where, why and what to try."""


class RunFolderError(TrainingError):
    """A file of a run's folder cannot be written, because the disk is full, for example."""


class TrainingInterruptedError(TrainingError):
    """A signal stopped the training; the message says how to resume it."""

    def __init__(self, message: str, exit_code: int = 130) -> None:
        super().__init__(message)
        self.exit_code = exit_code
        """128 plus the number of the signal, as shells have it: 130 for SIGINT (Ctrl-C), 143 for SIGTERM."""


class CheckpointError(CellzooError):
    """A checkpoint is missing, damaged or cannot be written."""


class ExportError(CellzooError):
    """An artifact or file cannot be written, or does not reproduce the outputs of its module."""


class IncompleteArtifactError(ExportError):
    """An artifact was written with its weights, but without a file that was asked for."""


class CardError(CellzooError):
    """The hand-written notes of a model card cannot be separated from the rest."""


class ProbeError(CellzooError):
    """A model cannot be probed."""


class BenchError(CellzooError):
    """A benchmark cannot run, or its contenders disagree."""


class CompareError(CellzooError):
    """Models cannot be compared, or their stored results cannot be read or written."""


class StaleAnswerError(CellzooError, RuntimeError):
    """A module was trained or changed, but answers by something stored that its parameters no longer give."""


class StaleEnsembleWarning(CellzooWarning):
    """A network is trained that answers by an ensemble of stored snapshots, which the training does not change."""


class SweepError(CellzooError):
    """A sweep cannot start or continue, or none of its runs ended with a model."""


class NoWinnerError(SweepError):
    """All trials of a sweep have ended, none of them with a model."""


class RunWarning(CellzooWarning):
    """A part of a training run has failed that does not change its result, such as a tracker."""


class FamilyWarning(CellzooWarning):
    """A package offers a family under a name that is taken."""
