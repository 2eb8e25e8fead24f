"""Modules that answer by something they stored rather than by their parameters: a guard against stale answers.

The ensemble of a snapshots network and the task network of a Meta-NCA were made from the parameters as they were then.
If the parameters change afterwards, the stored answer is no longer theirs.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn


class StoredAnswer:
    """The parameters from which a module's stored answer was made; empty until :meth:`record`."""

    def __init__(self) -> None:
        self._values: dict[str, Tensor] = {}

    def record(self, module: nn.Module) -> None:
        """Remember the current parameters."""
        self._values = {name: value.detach().clone() for name, value in module.named_parameters()}

    def forget(self) -> None:
        """Forget them: the module has no stored answer."""
        self._values = {}

    def is_stale(self, module: nn.Module) -> bool:
        """True if a parameter has changed since :meth:`record`, by whatever means.

        False while ``torch.export`` traces the module: a program cannot branch on the values of parameters.
        """
        if torch.compiler.is_exporting():
            return False
        now = dict(module.named_parameters()) if self._values else {}
        return any(not torch.equal(now[name].detach(), value) for name, value in self._values.items())

    def apply(self, function: Callable[[Tensor], Tensor]) -> None:
        """Follow the module to another device or dtype."""
        self._values = {name: function(value) for name, value in self._values.items()}
