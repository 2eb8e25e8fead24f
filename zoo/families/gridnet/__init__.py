"""gridnet: a 3-D grid of neurons, each wired to its 3x3x3 neighbourhood.

An image is written to one face of the grid, local steps carry it through, and the classes are read from the opposite
face. Source: the public gridnet repository (unixpickle/gridnet).
"""

from zoo.families.base import Family
from zoo.families.gridnet.config import GridnetConfig

FAMILY = Family(
    name="gridnet",
    config=GridnetConfig,
    build="zoo.families.gridnet.model:Gridnet",
    tasks=("classification", "echo"),
    ends="zoo.families.gridnet.model:ends",
    onnx_graph="zoo.families.gridnet.onnx:onnx_graph",
    probe="zoo.families.gridnet.probe:probe",
    capturable=True,
    about="""A gridnet is a 3-D grid of neurons. In every step, each neuron computes a weighted sum over the 3x3x3
neurons around it, with weights of its own rather than weights shared as in a convolution. It applies an activation and
adds the result to its value; a LayerNorm over the grid follows. The image is written to the first faces, information
travels one cell per step, and a linear layer reads the classes from the last faces.

The network is that of [unixpickle/gridnet](https://github.com/unixpickle/gridnet). The implementation and its kernels
are our own.
""",
)
