"""The ``export:`` section of a recipe."""

from __future__ import annotations

from typing import Literal

from pydantic import (
    Field,
    model_validator,
)

from zoo.config.base import Section

# --- export ---


class ExportConfig(Section):
    licence: str = Field(default="MIT", min_length=1)
    """SPDX identifier of the weights' licence."""
    formats: tuple[Literal["safetensors", "onnx"], ...] = ("safetensors", "onnx")
    """Files of the artifact that hold the model."""

    @model_validator(mode="after")
    def _check(self) -> ExportConfig:
        if "safetensors" not in self.formats:
            raise ValueError("formats should include safetensors, from which all else is made")
        if len(set(self.formats)) < len(self.formats):
            raise ValueError(f"formats {list(self.formats)} should name each format once")
        return self
