"""normnet: layers whose weights enter as tan(W), divided by the fan-in, without any bias.

Source: the public brains repository (a Rust/TensorFlow crate, earlier Norm_Net).
"""

from zoo.families.base import Family
from zoo.families.normnet.config import NormnetConfig

FAMILY = Family(
    name="normnet",
    config=NormnetConfig,
    build="zoo.families.normnet.model:Normnet",
    learner="zoo.families.normnet.learner:NormnetLearner",
    onnx_graph="zoo.families.normnet.onnx:onnx_graph",
    probe="zoo.families.normnet.probe:probe",
    about="""In a normnet a layer computes `m * act(x tan(W) / n)`: the weights enter through the tangent, the
sum is divided by the fan-in n, and there is no bias anywhere; a scale m lets outputs exceed 1. The idea is that
of the public `brains` repository (earlier Norm_Net), which publishes no accuracy.

The tangent makes connections heavy-tailed: most are weak and a few are very strong. As published, with weights
from N(0, 1) that may cross its poles, training is unstable (`normnet-mnist-literal` shows how far it gets);
here every weight is kept within a bound below pi/2.
""",
)
