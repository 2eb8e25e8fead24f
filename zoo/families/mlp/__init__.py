"""mlp: a multilayer perceptron, the ordinary network that the other families are compared with."""

from zoo.families.base import Family
from zoo.families.mlp.config import MlpConfig

FAMILY = Family(
    name="mlp",
    config=MlpConfig,
    build="zoo.families.mlp.model:Mlp",
    tasks=("classification", "echo"),
    learner="zoo.families.sparsity:SparseLearner",
    ends="zoo.families.mlp.model:ends",
    onnx_graph="zoo.families.mlp.onnx:onnx_graph",
    baseline=True,
    capturable=True,
    about="""A multilayer perceptron: fully connected layers with biases and an activation between them. It is a
baseline, here to say what the zoo's own families are compared with. It can be dense, pruned gradually by magnitude (Zhu
and Gupta 2017), or sparse from the start, with edges that move at random (SET, Mocanu et al. 2018) or to where the
gradient is largest (RigL, Evci et al. 2020). A sparse network is stored as a dense one with zeros.
""",
)
