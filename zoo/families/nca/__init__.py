"""Meta-NCA: a learned local rule that grows another network's weights.

Source: the public meta-nca repository (nowittynamesleft/meta-nca), which builds on Growing Neural Cellular Automata
(Mordvintsev et al., Distill 2020).
"""

from zoo.families.base import Family
from zoo.families.nca.config import NcaConfig

FAMILY = Family(
    name="nca",
    config=NcaConfig,
    build="zoo.families.nca.model:MetaNca",
    learner="zoo.families.nca.learner:NcaLearner",
    train={"steps": 500, "optimizer": {"name": "adamw", "lr": 0.01}},
    train_reason="a rule needs hundreds of evolutions, each of which is one step, on data sets of a few batches",
    distributed=False,
    onnx_graph="zoo.families.nca.onnx:onnx_graph",
    extra_onnx="zoo.families.nca.onnx:rule_files",
    portrait="zoo.families.nca.figures:portrait",
    probe="zoo.families.nca.probe:probe",
    pictures="zoo.families.nca.pictures:pictures",
    other_data="zoo.families.nca.config:other_data",
    bench="zoo.families.nca.bench:bench",
    about="""A small local rule updates every weight of another network, the task network, from that weight's
neighbourhood: its own state and the states of the weights that share a unit with it. Backpropagation through the whole
evolution trains the rule. It never trains the task network, which grows from its start by the rule alone.

The system is that of [nowittynamesleft/meta-nca](https://github.com/nowittynamesleft/meta-nca); the code is our own. It
builds on Growing Neural Cellular Automata (Mordvintsev et al., Distill 2020).
""",
)
