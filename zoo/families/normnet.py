"""normnet: layers whose weights enter as tan(W), divided by the fan-in, without any bias.

Source: the public brains repository (a Rust/TensorFlow crate, earlier Norm_Net).
"""

from __future__ import annotations

import math
from itertools import pairwise
from typing import TYPE_CHECKING, Any, Literal

import torch
import torch.nn.functional as F
from pydantic import BaseModel, ConfigDict, Field, NonNegativeInt, PositiveInt, model_validator
from torch import Tensor, nn
from torch.optim import Optimizer

from zoo.families import Family
from zoo.families.base import FamilyConfig, Findings, Learner, ProbeContext, StepResult, Task
from zoo.families.normnet_layers import (
    Activation,
    Kind,
    Layer,
    LayerSettings,
    NormConvolution,
    NormLayer,
    ResidualNormLayer,
)
from zoo.families.normnet_tree import CheckpointTree

if TYPE_CHECKING:
    import onnx

_POOLS = {1: F.max_pool1d, 2: F.max_pool2d, 3: F.max_pool3d}


class ConvolutionConfig(BaseModel):
    """One norm convolution over all spatial axes of the input, then max pooling over ``pool`` cells of each."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    channels: PositiveInt
    size: PositiveInt = 3
    stride: PositiveInt = 1
    padding: NonNegativeInt = 0
    pool: PositiveInt = 1
    scale: float = Field(default=1.0, gt=0)


class TreeConfig(BaseModel):
    """Training with a tree of checkpoints: on a plateau it goes on from one that the tree's search picks.

    What is observed is the validation error. Not meant for a running average of the weights (``train.ema``), which
    would mix what lies before and behind a restart.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    window: PositiveInt = 1
    """Validations whose mean error decides on a checkpoint."""
    patience: PositiveInt = 3
    """Windows without one before a restart."""
    pressure: float = Field(default=0.5, ge=0, le=1)
    """0 picks any checkpoint alike, 1 always the best."""
    keep: PositiveInt = 8
    """How many of the last (and best) checkpoints can be picked."""


class NormnetConfig(FamilyConfig):
    family: Literal["normnet"] = "normnet"
    layer: Kind = "norm"
    convolutions: tuple[ConvolutionConfig, ...] = ()
    hidden: tuple[PositiveInt, ...] = (256, 256)
    """Units of the fully connected layers before the output."""
    residual: bool = False
    """Hidden layers as wide as what they read are residual norm layers."""
    activation: Activation = "tanh"
    """Of every layer, the output included."""
    scale: float = Field(default=10.0, gt=0)
    """Of the output."""
    hidden_scale: float = Field(default=10.0, gt=0)
    """Of the hidden fully connected layers."""
    sigma: float = Field(default=1.0, gt=0)
    clamp: float | None = Field(default=1.5, gt=0, lt=math.pi / 2)
    """Bound of ``|W|`` in norm layers, kept after every step; null: none, and weights cross the poles of tan."""
    loss: Literal["cross_entropy", "power"] = "cross_entropy"
    power: float = Field(default=2.0, ge=1)
    """p of the loss ``|y - t|^p``, t being 1 for the class and 0 for the others."""
    tree: TreeConfig | None = None

    @model_validator(mode="after")
    def _check(self) -> NormnetConfig:
        if self.residual and self.layer == "plain":
            raise ValueError("residual is not defined for plain layers; set it to false or layer to norm or linear")
        return self

    def settings(self, scale: float) -> LayerSettings:
        return LayerSettings(self.layer, self.activation, scale, self.sigma, self.clamp)


class Normnet(nn.Module):
    """Convolutions, if any, then fully connected layers; the last one's outputs are the logits."""

    def __init__(self, config: NormnetConfig, task: Task) -> None:
        super().__init__()
        self.config = config
        self.input_shape = task.input_shape
        channels, *space = task.input_shape
        if config.convolutions and not space:
            raise ValueError(f"convolutions take inputs [C, *space], the data has inputs of shape {[channels]}")
        self.convolutions = nn.ModuleList()
        for number, c in enumerate(config.convolutions):
            settings = config.settings(c.scale)
            self.convolutions.append(
                NormConvolution(len(space), channels, c.channels, c.size, settings, c.stride, c.padding)
            )
            channels, space = c.channels, [_length(n, c) for n in space]
            if min(space) < 1:
                raise ValueError(f"convolutions.{number} leaves nothing of an input of shape {list(task.input_shape)}")
        widths = [channels * math.prod(space), *config.hidden, task.num_classes]
        scales = [config.hidden_scale] * len(config.hidden) + [config.scale]
        self.layers = nn.ModuleList()
        for number, ((n, out), scale) in enumerate(zip(pairwise(widths), scales, strict=True)):
            residual = config.residual and n == out and number < len(config.hidden)
            layer = ResidualNormLayer if residual else NormLayer
            self.layers.append(layer(n, out, config.settings(scale)))

    def forward(self, x: Tensor) -> Tensor:
        """Inputs ``[B, *input_shape]``, normalised as in training -> logits ``[B, classes]``."""
        for config, convolution in zip(self.config.convolutions, self.convolutions, strict=True):
            x = convolution(x)
            if config.pool > 1:
                x = _POOLS[x.dim() - 2](x, config.pool)
        x = x.flatten(1)
        for layer in self.layers:
            x = layer(x)
        return x


def _length(length: int, c: ConvolutionConfig) -> int:
    """Of an axis after the convolution and its pooling."""
    return ((length + 2 * c.padding - c.size) // c.stride + 1) // c.pool


def power_loss(outputs: Tensor, targets: Tensor, power: float) -> Tensor:
    """``|y - t|^p``, summed over the outputs and averaged over the batch: two ``[B, outputs]`` -> scalar.

    For p >= 1 the gradient is finite everywhere, 0 where y = t.
    """
    return (outputs - targets).abs().pow(power).sum(-1).mean()


class NormnetLearner(Learner):
    """The config's loss, weights clamped after each step and, if the config has a tree, restarts on plateaus."""

    config: NormnetConfig

    def __init__(self, module: nn.Module, config: NormnetConfig) -> None:
        super().__init__(module, config)
        self.tree = CheckpointTree(config.tree.window, config.tree.keep) if config.tree else None
        self.restarts = 0
        self._restart_due = False

    def on_start(self, optimizer: Optimizer) -> None:
        self._optimizer = optimizer

    def training_step(self, inputs: Tensor, labels: Tensor) -> StepResult:
        if self._restart_due:
            self._restart()
        logits = self.module(inputs)
        logs = {"accuracy": (logits.detach().argmax(-1) == labels).float().mean()}
        if self.tree is not None:
            logs["restarts"] = logits.new_tensor(float(self.restarts))
        if self.config.loss == "cross_entropy":
            return StepResult(F.cross_entropy(logits, labels), logs)
        targets = F.one_hot(labels, logits.shape[-1]).to(logits.dtype)
        return StepResult(power_loss(logits, targets, self.config.power), logs)

    def on_step_end(self, step: int) -> None:
        for layer in self.module.modules():
            if isinstance(layer, Layer):
                layer.clamp_()

    def on_validation(self, step: int, accuracy: float) -> None:
        """A restart waits for the next step, so that training never ends with weights nobody validated."""
        if self.tree is not None and self.config.tree is not None:
            self.tree.observe(1 - accuracy, self.module.state_dict())
            self._restart_due = self.tree.stale >= self.config.tree.patience

    def _restart(self) -> None:
        """Go on from a checkpoint of the tree, with a fresh optimizer; every process picks the same."""
        assert self.tree is not None
        assert self.config.tree is not None
        self._restart_due = False
        self.restarts += 1
        choice = self.tree.search(self.config.tree.pressure, torch.Generator().manual_seed(self.restarts))
        self.module.load_state_dict(self.tree.restore(choice.number))
        self._optimizer.state.clear()

    def state_dict(self) -> dict[str, Any]:
        if self.tree is None:
            return {}
        return {"tree": self.tree.state_dict(), "restarts": self.restarts, "restart_due": self._restart_due}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        if self.tree is None:
            super().load_state_dict(state)
            return
        self.tree.load_state_dict(state["tree"])
        self.restarts, self._restart_due = state["restarts"], state["restart_due"]


def _onnx_graph(module: Normnet, task: Task) -> onnx.ModelProto:
    from zoo.families.normnet_onnx import onnx_graph  # onnx is slow to import and needed to export only

    return onnx_graph(module, task)


def _probe(context: ProbeContext) -> Findings:
    from zoo.families.normnet_probe import probe  # needed to probe only, and builds on this module

    return probe(context)


_ABOUT = """In a normnet a layer computes `m * act(x tan(W) / n)`: the weights enter through the tangent, the
sum is divided by the fan-in n, and there is no bias anywhere; a scale m lets outputs exceed 1. The idea is that
of the public `brains` repository (earlier Norm_Net), which publishes no accuracy.

The tangent makes connections heavy-tailed: most are weak and a few are very strong. As published, with weights
from N(0, 1) that may cross its poles, training is unstable (`normnet-mnist-literal` shows how far it gets);
here every weight is kept within a bound below pi/2.
"""

FAMILY = Family(
    name="normnet",
    config=NormnetConfig,
    build=Normnet,
    learner=NormnetLearner,
    onnx_graph=_onnx_graph,
    about=_ABOUT,
    probe=_probe,
)
