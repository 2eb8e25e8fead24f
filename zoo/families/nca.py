"""nca: a learned local rule that grows another network's weights.

Source: the public meta-nca repository (nowittynamesleft/meta-nca), which builds on Growing Neural Cellular Automata
(Mordvintsev et al., Distill 2020).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from zoo.families import Family
from zoo.families.base import Task
from zoo.families.nca_config import NcaConfig
from zoo.families.nca_learner import NcaLearner
from zoo.families.nca_module import MetaNca

if TYPE_CHECKING:
    import onnx


def _onnx_graph(module: MetaNca, task: Task) -> onnx.ModelProto:
    from zoo.families.nca_onnx import classifier_graph  # onnx is slow to import and needed to export only

    return classifier_graph(module, task)


_ABOUT = """A small local rule network updates every weight of another network, the task network, from what is near
that weight: its own state and those of the weights that share a unit with it. The rule is trained by backpropagation
through the whole evolution; the task network never is: it grows from its start by the rule alone.

The system is that of [nowittynamesleft/meta-nca](https://github.com/nowittynamesleft/meta-nca), written anew. It builds on
Growing Neural Cellular Automata (Mordvintsev et al., Distill 2020).
"""

FAMILY = Family(
    name="nca", config=NcaConfig, build=MetaNca, learner=NcaLearner, onnx_graph=_onnx_graph, about=_ABOUT
)
