"""The ``export:`` section of a recipe."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, model_validator

from zoo.config.base import Section


class ExportConfig(Section):
    """The licence and the files of the artifact."""

    licence: str = Field(default="MIT", min_length=1)
    """SPDX identifier of the licence of the weights."""
    formats: tuple[Literal["safetensors", "onnx"], ...] = ("safetensors", "onnx")
    """Formats in which the artifact holds the model."""

    @model_validator(mode="after")
    def _check(self) -> ExportConfig:
        if "safetensors" not in self.formats:
            raise ValueError("formats should include safetensors, from which the other files are made")
        if len(set(self.formats)) < len(self.formats):
            raise ValueError(f"formats {list(self.formats)} should name each format once")
        return self
