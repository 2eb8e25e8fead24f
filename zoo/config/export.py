"""The ``export:`` section of a recipe."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import Field, SerializerFunctionWrapHandler, model_serializer, model_validator

from zoo.config.base import Section


class ExportConfig(Section):
    """The licence and the files of the artifact."""

    licence: str = Field(default="MIT", min_length=1)
    """SPDX identifier of the licence of the weights."""
    formats: tuple[Literal["safetensors", "onnx"], ...] = ("safetensors", "onnx")
    """Formats in which the artifact holds the model."""
    which: Literal["last", "best"] = "last"
    """Weights that are tested and exported: of the last step, or of the best validation accuracy, for which training
    stores a second checkpoint."""

    @model_serializer(mode="wrap")
    def _without_unset_keys(self, serialize: SerializerFunctionWrapHandler) -> dict[str, Any]:
        # The key is younger than the first models, whose recipes and hashes must stay what they are.
        values: dict[str, Any] = serialize(self)
        return {key: value for key, value in values.items() if (key, value) != ("which", "last")}

    @model_validator(mode="after")
    def _check(self) -> ExportConfig:
        if "safetensors" not in self.formats:
            raise ValueError("formats should include safetensors, from which the other files are made")
        if len(set(self.formats)) < len(self.formats):
            raise ValueError(f"formats {list(self.formats)} should name each format once")
        return self
