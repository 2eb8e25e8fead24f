from __future__ import annotations

import pytest
from pydantic import ValidationError

from tests.support.recipes import problem
from zoo.config.export import ExportConfig


def test_an_export_without_safetensors_is_refused() -> None:
    assert problem("export.formats=[]").startswith("export.formats: formats should include safetensors")


def test_a_format_named_twice_is_refused() -> None:
    with pytest.raises(ValidationError, match="should name each format once"):
        ExportConfig(formats=("safetensors", "onnx", "onnx"))
