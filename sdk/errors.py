"""The SDK's errors. Each message is one line: what was found, what is allowed and how to fix it."""

from __future__ import annotations


class CellzooError(Exception):
    """Base of every error that cellzoo raises on purpose. Anything else is a bug."""


class InputError(CellzooError, ValueError):
    """An input that the model cannot take."""


class ArtifactError(CellzooError):
    """A model folder that is damaged, altered, or not one that this version can read."""


class LoadError(CellzooError):
    """A model, backend or device that was asked for and is not there."""


class HubError(LoadError):
    """The Hub refuses, or has not what was asked for."""


class HubUnreachableError(HubError):
    """The Hub cannot be reached, or has a problem of its own that passes."""
