"""Pictures of traces: of every family, of one input and of a batch."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from matplotlib.figure import Figure
from PIL import Image

import sdk
import sdk.plot
from sdk.errors import InputError, LoadError
from sdk.families.cellnet import CellnetTrace
from sdk.families.gridnet import GridnetTrace
from sdk.families.nca import NcaTrace
from sdk.families.normnet import NormnetTrace
from sdk.families.snapshots_trace import SnapshotsTrace
from sdk.plot import PlotError
from sdk.plot.gridnet import activity_caption, front_caption
from tests.sdk.test_import import loaded_modules as loaded
from tests.support.paths import ROOT

STEPS, BATCH, CLASSES = 3, 2, 4


def _draw(*shape: int) -> Any:
    return np.random.default_rng(0).normal(size=shape).astype(np.float32)


def _layers(*shapes: tuple[int, ...]) -> Any:
    return tuple(_draw(*shape) for shape in shapes)


BATCHES = {
    "gridnet": GridnetTrace(_draw(STEPS, BATCH, 4, 6, 2), _draw(STEPS, BATCH, CLASSES)),
    "cellnet": CellnetTrace(_draw(STEPS, BATCH, 3, 5), _draw(STEPS, BATCH, CLASSES)),
    "nca": NcaTrace((_layers((4, 5), (5, 3)),) * STEPS, _draw(STEPS, BATCH, CLASSES)),
    "snapshots": SnapshotsTrace(_draw(STEPS, BATCH, CLASSES), _draw(STEPS, BATCH, CLASSES)),
    "normnet": NormnetTrace(_layers((BATCH, 3, 5, 5), (BATCH, 7), (BATCH, CLASSES)), _draw(1, BATCH, CLASSES)),
}
SINGLES = {
    "gridnet": GridnetTrace(_draw(STEPS, 4, 6, 2), _draw(STEPS, CLASSES)),
    "cellnet": CellnetTrace(_draw(STEPS, 3, 5), _draw(STEPS, CLASSES)),
    "nca": NcaTrace((_layers((4, 3)),) * STEPS, _draw(STEPS, CLASSES)),
    "snapshots": SnapshotsTrace(_draw(STEPS, CLASSES), _draw(STEPS, CLASSES)),
    "normnet": NormnetTrace(_layers((3, 5, 5), (7,), (CLASSES,)), _draw(1, CLASSES)),
}
ANIMATED = ("gridnet", "cellnet", "nca")


@pytest.mark.parametrize("family", BATCHES)
@pytest.mark.parametrize("traces", [BATCHES, SINGLES], ids=["batch", "single"])
def test_a_trace_of_any_family_is_drawn_with_units(traces: dict[str, Any], family: str) -> None:
    figure = sdk.plot.draw(traces[family], ["a", "b", "$c_", "d" * 99])
    assert isinstance(figure, Figure)
    texts = {axes.get_ylabel() for axes in figure.axes} | {axes.get_xlabel() for axes in figure.axes}
    units = {
        "gridnet": "value / 99th percentile of the row",
        "cellnet": "value",
        "nca": "weight",
        "snapshots": "probability",
        "normnet": "share of outputs, %",
    }
    assert units[family] in texts


@pytest.mark.parametrize("family", ANIMATED)
@pytest.mark.parametrize("traces", [BATCHES, SINGLES], ids=["batch", "single"])
def test_a_trace_is_animated_with_a_frame_per_state(traces: dict[str, Any], family: str, tmp_path: Path) -> None:
    path = sdk.plot.animate(traces[family], tmp_path / "a.gif", ["a", "b", "c", "d"])
    with Image.open(path) as animation:
        assert animation.n_frames == STEPS
        assert animation.info["loop"] == 0


@pytest.mark.parametrize("family", ["snapshots", "normnet"])
def test_states_that_are_one_picture_are_not_animated(family: str, tmp_path: Path) -> None:
    with pytest.raises(PlotError, match=rf"animate: found a trace of {family}.*use sdk\.plot\.draw"):
        sdk.plot.animate(BATCHES[family], tmp_path / "a.gif")


@pytest.mark.parametrize("wrong", [None, np.zeros((3, 4)), (1, 2), "gridnet"])
def test_anything_but_a_trace_is_refused(wrong: Any, tmp_path: Path) -> None:
    for call in (lambda: sdk.plot.draw(wrong), lambda: sdk.plot.animate(wrong, tmp_path / "a.gif")):
        with pytest.raises(InputError, match=r"trace: found .*expected what model\.trace returns"):
            call()
    with pytest.raises(InputError, match=r"model: found .*expected what sdk\.load returns"):
        sdk.plot.pictures(wrong, [], tmp_path)


def test_a_name_that_is_no_gif_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"path: found '.*a\.png', expected a name that ends in \.gif"):
        sdk.plot.animate(BATCHES["nca"], tmp_path / "a.png")


def test_pictures_of_a_model_are_its_files_with_captions(tmp_path: Path) -> None:
    model = sdk.load("bundled:snapshots-digits", backend="torch")
    captions = sdk.plot.pictures(model, np.zeros((2, 8, 8), np.uint8), tmp_path / "new" / "folder", invert=False)
    assert {path.name for path in (tmp_path / "new" / "folder").iterdir()} == set(captions) == {
        "growth.gif", "answers.png"
    }  # fmt: skip
    with Image.open(tmp_path / "new" / "folder" / "growth.gif") as animation:
        assert animation.n_frames == 1 + len(model.module.growth)  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    ("faces", "said"),
    [
        ((1, 1, 8), "enters at k = 0; the classes are read at the other end."),
        ((3, 1, 8), "enters at k = 0 to 2; the classes are read at the other end."),
        ((3, 2, 8), "enters at k = 0 to 2; the classes are read at the last 2 faces."),
        ((8, 8, 8), "enters at all faces; the classes are read at all faces."),
    ],
)
def test_captions_of_a_grid_say_where_the_image_enters_and_the_classes_are_read(
    faces: tuple[int, int, int], said: str
) -> None:
    assert activity_caption(*faces).endswith(said)
    assert front_caption(*faces).count("where the image enters") == (faces == (1, 1, 8))
    assert faces == (1, 1, 8) or said.replace("other end", "last face") in front_caption(*faces)


def test_pictures_need_states(tmp_path: Path) -> None:
    baseline = sdk.load("bundled:mlp-digits", backend="torch")
    with pytest.raises(PlotError, match=r"mlp-digits: found a model of family 'mlp'.*gridnet, cellnet"):
        sdk.plot.pictures(baseline, np.zeros((1, 8, 8), np.uint8), tmp_path)
    with pytest.raises(LoadError, match="torch"):
        sdk.plot.pictures(sdk.load("bundled:gridnet-digits", backend="onnx"), np.zeros((1, 8, 8), np.uint8), tmp_path)


def test_importing_the_module_loads_neither_matplotlib_nor_torch_nor_zoo() -> None:
    assert loaded("import sdk.plot", ("matplotlib", "torch", "zoo", "PIL")) == []


def test_drawing_loads_neither_torch_nor_zoo() -> None:
    code = (
        "import numpy as np, sdk.plot; from sdk.families.nca import NcaTrace; "
        "sdk.plot.draw(NcaTrace(((np.zeros((2, 2)),),) * 2, np.zeros((2, 1, 2))))"
    )
    assert loaded(code, ("torch", "zoo")) == []


def test_without_matplotlib_one_line_says_what_to_install() -> None:
    code = (
        "import sys; sys.modules['matplotlib'] = None; import numpy as np, sdk.plot; "
        "from sdk.families.nca import NcaTrace\n"
        "try: sdk.plot.draw(NcaTrace(((np.zeros((2, 2)),),), np.zeros((1, 1, 2))))\n"
        "except sdk.plot.PlotError as error: print(error)"
    )
    result = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=False)
    assert result.stdout.strip() == ("sdk.plot: found no matplotlib; install it with pip install 'cellzoo[plot]'"), (
        result.stderr
    )
