"""The layers at both ends of a grid, which in inference on the CPU are those of the compiled kernels.

They are torch's layers with torch's parameters; see :mod:`zoo.kernels.dense`.
"""

from __future__ import annotations

from torch import Tensor, nn

from zoo.kernels import dense


class Patches(nn.Conv2d):
    """A convolution whose stride is the side of its kernel: ``[B, C, H, W]`` -> ``[B, channels, H/size, W/size]``."""

    def __init__(self, inputs: int, channels: int, size: int) -> None:
        super().__init__(inputs, channels, kernel_size=size, stride=size)

    def forward(self, x: Tensor) -> Tensor:
        """Images ``[B, C, H, W]``, whose sides the kernel divides -> faces."""
        weight, bias = self.weight, self.bias
        assert bias is not None
        if not dense.in_inference(x, weight, bias):
            return super().forward(x)
        batch, inputs, height, width = x.shape
        size = self.kernel_size[0]
        rows, columns = height // size, width // size
        patches = x.reshape(batch, inputs, rows, size, columns, size).permute(0, 2, 4, 1, 3, 5)
        flat = patches.reshape(batch * rows * columns, inputs * size * size)
        faces = dense.linear(flat, weight.flatten(1), bias)
        return faces.view(batch, rows, columns, len(weight)).permute(0, 3, 1, 2)


class FaceNorm(nn.LayerNorm):
    """LayerNorm over all axes but the first: ``[B, M, N, layers]`` -> the same."""

    def forward(self, x: Tensor) -> Tensor:
        """Normalise each grid's faces."""
        if not dense.in_inference(x, self.weight, self.bias):
            return super().forward(x)
        flat = dense.layer_norm(x.flatten(1), self.weight.flatten(), self.bias.flatten(), self.eps)
        return flat.view(x.shape)


class Readout(nn.Linear):
    """The classifier: ``[B, features]`` -> ``[B, classes]``."""

    def forward(self, x: Tensor) -> Tensor:
        """Features -> logits."""
        return dense.linear(x, self.weight, self.bias)
