"""The facts of a run that started from a trained model."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any


@dataclass(frozen=True)
class Start:
    """The trained model that a run started from, and what was taken of it: plain JSON values."""

    name: str
    """The name in its config.json."""
    origin: str
    """``user/name@commit`` for a model on the Hub, else ``train.start_from`` as the recipe has it."""
    on_hub: bool
    weights_sha256: str
    taken: tuple[str, ...]
    """Names of the parameters that were taken."""
    taken_parameters: int
    new_parameters: int
    report: str
    """One line for the user."""

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> Start:
        """Return what :meth:`to_dict` returned."""
        return cls(**{**values, "taken": tuple(values["taken"])})

    def to_dict(self) -> dict[str, Any]:
        """Return plain JSON values, for the checkpoint."""
        return {**asdict(self), "taken": list(self.taken)}

    def provenance(self) -> dict[str, Any]:
        """Return what config.json of the new model says about its start."""
        repo, _, commit = self.origin.partition("@")
        place = {"repo": repo, "commit": commit} if self.on_hub else {"origin": self.origin}
        return {
            "name": self.name,
            **place,
            "weights_sha256": self.weights_sha256,
            "taken_parameters": self.taken_parameters,
            "new_parameters": self.new_parameters,
            "taken": list(self.taken),
        }
