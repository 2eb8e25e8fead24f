from __future__ import annotations

from pathlib import Path

import pytest

from tests.support.bench import run
from zoo.bench.report import check_folder
from zoo.utils.errors import BenchError


def test_a_folder_with_other_files_is_not_overwritten(tmp_path: Path) -> None:
    (tmp_path / "bench.json").touch()
    check_folder(tmp_path)
    (tmp_path / "thesis.txt").touch()
    with pytest.raises(BenchError, match=r"holds other files \(thesis.txt\)"):
        check_folder(tmp_path)
    result = run("kernels", "--quick", "--out", str(tmp_path))
    assert "holds other files" in result.stderr
    result = run("kernels", "--quick", "--out", str(tmp_path / "thesis.txt" / "bench"))
    assert f"error: cannot write {tmp_path}/thesis.txt/bench: Not a directory; give --out a new folder" in result.stderr
