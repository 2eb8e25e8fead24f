"""cnn: a small convolutional network, the ordinary network that the families for images are compared with."""

from zoo.families.base import Family
from zoo.families.cnn.config import CnnConfig

FAMILY = Family(
    name="cnn",
    config=CnnConfig,
    build="zoo.families.cnn.model:Cnn",
    tasks=("classification", "echo"),
    learner="zoo.families.sparsity:SparseLearner",
    ends="zoo.families.cnn.model:ends",
    onnx_graph="zoo.families.cnn.onnx:onnx_graph",
    baseline=True,
    capturable=True,
    about="""A small convolutional network: stages of 3x3 convolutions, batch normalisation, ReLU and max pooling, then
fully connected layers. It is a baseline, here to say what the zoo's own families are compared with. Like the mlp, it
can be pruned gradually or sparse from the start.
""",
)
