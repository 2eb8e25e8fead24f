"""normnet: layers that multiply by tan(W), divide by the fan-in, and have no bias.

Source: the public brains repository (maxeonyx/brains, a fork of Corallus-Caninus/brains; earlier Norm_Net).
"""

from zoo.families.base import Family
from zoo.families.normnet.config import NormnetConfig

FAMILY = Family(
    name="normnet",
    config=NormnetConfig,
    build="zoo.families.normnet.model:Normnet",
    learner="zoo.families.normnet.learner:NormnetLearner",
    ends="zoo.families.normnet.model:ends",
    onnx_graph="zoo.families.normnet.onnx:onnx_graph",
    probe="zoo.families.normnet.probe:probe",
    about="""A layer of a normnet computes `m * act(x tan(W) / n)`: the weights enter through the tangent, the sum is
divided by the fan-in n, and no layer has a bias. The scale m lets outputs exceed 1. The idea is that of
[maxeonyx/brains](https://github.com/maxeonyx/brains), a fork of Corallus-Caninus/brains (earlier Norm_Net), which
publishes no accuracy.

The tangent makes connections heavy-tailed: most are weak and a few are very strong. As published, with weights from
N(0, 1) that may cross the poles of the tangent, training is unstable; `normnet-mnist-literal` shows how far it gets.
Here every weight is clamped to a bound below pi/2.
""",
)
