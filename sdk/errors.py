"""The SDK's errors and warnings. Each message is one line: what was found, what is allowed and how to fix it."""

from __future__ import annotations

import os
import sys
import warnings

from sdk.text import printable

_PACKAGE = os.path.dirname(os.path.abspath(__file__)) + os.sep


class _Shown(BaseException):
    """Shows its message without characters that a terminal obeys: names and labels in it come from outside."""

    def __str__(self) -> str:
        return printable(super().__str__(), lines=True)


class CellzooError(_Shown, Exception):
    """Base of every error that cellzoo raises on purpose. Any other error is a bug."""


class InputError(CellzooError, ValueError):
    """An input that the model cannot take, or an argument that a call cannot take."""


class ArtifactError(CellzooError):
    """A model folder that is damaged, altered, or in a format that this version cannot read."""


class LoadError(CellzooError):
    """A model, backend or device that was requested and is not available."""


class SettingError(CellzooError, ValueError):
    """An environment variable has a value that is not allowed."""


class KernelsError(CellzooError, ImportError):
    """The compiled kernels were not built or cannot be loaded."""


class MissingKernelsError(KernelsError):
    """The compiled kernels were not built."""


class UnknownModelError(LoadError):
    """A plain name that no model has."""

    def __init__(self, name: str, message: str) -> None:
        super().__init__(message)
        self.name = name

    def __reduce__(self) -> tuple[type[UnknownModelError], tuple[str, str]]:
        return type(self), (self.name, str(self))


class HubError(LoadError):
    """A request that the Hub refuses, or a model or revision that it does not have."""


class HubUnreachableError(HubError):
    """A Hub that cannot be reached or has a temporary problem."""


class CellzooWarning(_Shown, UserWarning):
    """Base of every warning that cellzoo gives. ``zoo`` prints it as ``zoo: note: ...``."""


class InvertedInputWarning(CellzooWarning):
    """Images of the opposite polarity (such as dark strokes on a light background) that were inverted."""

    inverted = 0
    """Number of images that were inverted."""
    seen = 0
    """Number of images of the call."""


class AmbiguousInputWarning(CellzooWarning):
    """An array that is one image with its channel, or a batch of one without; ``batch=`` says which."""


class ShadowedModelWarning(CellzooWarning):
    """A name that means more than one model; the message says which was loaded."""


class OfflineWarning(CellzooWarning):
    """The Hub cannot be reached, and a copy of the model in the cache is loaded, which may be out of date."""


class DamagedModelWarning(CellzooWarning):
    """A damaged model of the user's own, which is left out of a list."""


class BrokenKernelsWarning(CellzooWarning):
    """Compiled kernels that cannot be used, so that a model predicts through another backend."""


def give_warning(warning: CellzooWarning) -> None:
    """Give a warning at the line outside sdk that called it, however deep in sdk the reason was found."""
    level, frame = 2, sys._getframe(1)
    while frame.f_back is not None and os.path.abspath(frame.f_code.co_filename).startswith(_PACKAGE):
        level, frame = level + 1, frame.f_back
    warnings.warn(warning, stacklevel=level)
