"""nca: a learned local rule that grows another network's weights.

Source: the public meta-nca repository (nowittynamesleft/meta-nca), which builds on Growing Neural Cellular Automata
(Mordvintsev et al., Distill 2020).
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from zoo.families import Family
from zoo.families.base import Findings, ProbeContext, Task
from zoo.families.nca_config import NcaConfig
from zoo.families.nca_learner import NcaLearner
from zoo.families.nca_module import MetaNca

if TYPE_CHECKING:
    import onnx


def _onnx_graph(module: MetaNca, task: Task) -> onnx.ModelProto:
    from zoo.families.nca_onnx import classifier_graph  # onnx is slow to import and needed to export only

    return classifier_graph(module, task)


def _extra_onnx(module: MetaNca, task: Task) -> dict[str, onnx.ModelProto]:
    from zoo.families.nca_onnx import rule_files

    return rule_files(module, task)


def _portrait(module: MetaNca, figures: Path) -> Findings:
    from zoo.families.nca_figures import portrait  # matplotlib is slow to import and needed to draw only

    return portrait(module, figures)


def _probe(context: ProbeContext) -> Findings:
    from zoo.families.nca_probe import probe

    return probe(context)


def _bench() -> list[dict[str, Any]]:
    from zoo.families.nca_bench import bench

    return bench()


_ABOUT = """A small local rule network updates every weight of another network, the task network, from what is near
that weight: its own state and those of the weights that share a unit with it. The rule is trained by backpropagation
through the whole evolution; the task network never is: it grows from its start by the rule alone.

The system is that of [nowittynamesleft/meta-nca](https://github.com/nowittynamesleft/meta-nca), written anew. It
builds on Growing Neural Cellular Automata (Mordvintsev et al., Distill 2020).
"""

FAMILY = Family(
    name="nca",
    config=NcaConfig,
    build=MetaNca,
    learner=NcaLearner,
    onnx_graph=_onnx_graph,
    about=_ABOUT,
    extra_onnx=_extra_onnx,
    portrait=_portrait,
    probe=_probe,
    bench=_bench,
)
