from __future__ import annotations

import json
import shlex
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

from zoo.cli.next_steps import next_commands
from zoo.config.data import DatasetConfig
from zoo.data.dataset import load


def test_the_model_of_a_table_is_shown_a_raw_row_by_name(tmp_path: Path) -> None:
    table = tmp_path / "t.csv"
    lines = (f"{i % 7}.5,{['é', 'b'][i % 3 // 2]},{i % 2 == 0},{'xy'[i % 2]}" for i in range(40))
    table.write_text("\n".join(["size,kind,old,label", *lines]) + "\n", encoding="utf-8")
    result = cast(Any, SimpleNamespace(data=load(DatasetConfig(name="dataset", path=str(table)), tmp_path)))
    command = shlex.split(next_commands(result, tmp_path / "model", tmp_path, None)[-1])
    row = command[-1].partition(".predict(")[2].removesuffix("))")
    assert json.loads(row) == eval(row) == {"size": 3.0, "kind": "é", "old": "false"}
    assert result.data.input_spec.prepare(json.loads(row))[0].shape == (1, 5)
