"""Training: the rules in the order in which each epoch applies them."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from zoo.families.base import FamilyConfig
from zoo.families.learner import Learner, StepResult
from zoo.families.snapshots.config import SnapshotsConfig
from zoo.families.snapshots.draft import Draft
from zoo.families.snapshots.economy import Economy
from zoo.families.snapshots.ensemble import fit_mixture, fit_threshold
from zoo.families.snapshots.extrema import Activity, Extrema, find_extrema
from zoo.families.snapshots.findings import training_findings
from zoo.families.snapshots.gradient import missing_gradient
from zoo.families.snapshots.growth import grow
from zoo.families.snapshots.model import SnapshotNet
from zoo.families.snapshots.pruning import edges_after, free_slots, prune
from zoo.families.snapshots.routing import gradient_scores, length_preference, random_scores
from zoo.families.snapshots.saving import retain, worth_saving
from zoo.families.snapshots.schedule import End, Limits, phase_at
from zoo.families.snapshots.store import Snapshot
from zoo.families.snapshots.trigger import Trigger
from zoo.kernels import dense


class SnapshotsLearner(Learner):
    """Softmax classification with a growing network.

    Growth, snapshots and the end of training are decided once per epoch, after its validation. A snapshot is the
    network that was validated, before it grows.
    """

    module: SnapshotNet
    config: SnapshotsConfig
    averageable = False

    def __init__(self, module: nn.Module, config: FamilyConfig) -> None:
        assert isinstance(module, SnapshotNet)
        assert isinstance(config, SnapshotsConfig)
        super().__init__(module, config)
        self.trigger = Trigger(config.trigger)
        self.economy = Economy(config.economy)
        self.limits = Limits(config)
        self.end = End(config.end)
        self.epoch = 0
        self.decided = 0
        """Last epoch after which growth and snapshots were decided."""
        self.rotation = 0
        """Source layer at which the next growth event starts."""
        self.recent: list[tuple[Tensor, Tensor]] = []
        """Last batches of the epoch, on which activity is measured."""
        self.held = module.weight.detach()[:0]
        """Weights of the edges that training must not change."""
        self.pruned: Tensor | None = None
        """Slots of pruned edges, int64, which snapshots still have."""
        self._optimizer: Optimizer | None = None
        self._norms: list[Tensor] = []
        """Gradient norms that the trigger has not seen yet: on a GPU, reading one would wait for its step."""

    def on_start(self, optimizer: Optimizer) -> None:
        """Keep the weights of the edges that the network holds, whose gradients are 0 from now on."""
        self._optimizer = optimizer
        self._find_pruned()
        self.held = self.module.weight.detach()[: self.module.held].clone()
        if len(self.held):
            slots = torch.arange(len(self.held), device=self.held.device)
            self.module.weight.register_hook(lambda gradient: gradient.index_fill(0, slots, 0))  # type: ignore[no-untyped-call]

    def training_step(self, inputs: Tensor, labels: Tensor) -> StepResult:
        """See :class:`Learner`; also saves the batch, for the decisions at the end of the epoch."""
        self.remember(inputs, labels)
        result = super().training_step(inputs, labels)
        return StepResult(result.loss, {**result.logs, "edges": self.module.edges.float()})

    def remember(self, inputs: Tensor, labels: Tensor) -> None:
        """Save the last batches, on which activity and missing edges are measured at the end of the epoch."""
        self.recent = [*self.recent, (inputs, labels)][-self.config.extrema.batches :]

    def on_step_end(self, step: int) -> None:
        grads = [parameter.grad for parameter in self.module.parameters() if parameter.grad is not None]
        self._norms.append(torch.nn.utils.get_total_norm(grads))
        with torch.no_grad():
            self.module.weight[: len(self.held)] = self.held  # weight decay moves weights without a gradient, too
            if self.pruned is not None:
                self.module.weight[self.pruned] = 0

    def on_epoch_end(self, epoch: int) -> None:
        self.epoch = epoch
        self._observe_norms(epoch)
        if self.trigger.end_epoch():
            self._earn(epoch)

    def before_validation(self, step: int) -> None:
        """See :class:`Learner`."""
        self._observe_norms(self.epoch + 1)

    def on_validation(self, step: int, accuracy: float) -> None:
        """Decide on growth and snapshots, if an epoch has ended since the last decision."""
        passed = self.epoch - self.decided
        if not passed:
            return
        self.decided = self.epoch
        activity = Activity.of(torch.cat([self._activations(inputs) for inputs, _ in self.recent]))
        extrema = find_extrema(activity, self.module.layout, self.config.activation, self.config.extrema)
        self.end.observe(passed, accuracy, extrema.found)
        grew = self._grow(extrema, activity, accuracy)
        if not grew and worth_saving(self.config, self.epoch, accuracy, self._last(), grows=False):
            self._save(accuracy)
        self._prune()
        self.recent = []

    @property
    def finished(self) -> bool:
        """See :class:`Learner`."""
        return self.end.reached or self.epoch >= self.config.phases[-1].until

    def on_finish(self, validation: Iterable[tuple[Tensor, Tensor]]) -> None:
        """Save the final network and fit the ensemble of all snapshots."""
        net = self.module.eval()
        batches = list(validation)
        labels = torch.cat([targets for _, targets in batches]).cpu()
        with torch.no_grad():
            last = torch.cat([net.activations(inputs)[-1].argmax(-1).cpu() for inputs, _ in batches])
            saved = self._last()
            if saved is None or not torch.equal(saved.values, net.freeze(0, 0, 0.0).values):
                self._save(float((last == labels).float().mean()))
            members = range(len(net.snapshots))
            probabilities = torch.stack(
                [
                    torch.cat([net.member(number, inputs).softmax(-1).cpu() for inputs, _ in batches])
                    for number in members
                ]
            )
        mixture = fit_mixture(probabilities, labels, self.config.mixture_temperature)
        snapshots = [net.snapshots[number] for number in members]
        phases, costs = [s.phase for s in snapshots], [net.cost_of(number)[1] for number in members]
        mixing = self.config.progressive == "mixture"
        threshold = fit_threshold(probabilities, labels, mixture, phases, costs, self.config.progressive_loss, mixing)
        net.set_ensemble(mixture, threshold)

    def findings(self) -> dict[str, Any]:
        """Return the snapshots, their ensemble and the growth events, for the artifact's metrics."""
        return training_findings(self.module)

    def state_dict(self) -> dict[str, Any]:
        """See :class:`Learner`."""
        return {
            "samples": list(self.trigger.samples),
            "norms": [self.trigger.total, self.trigger.count],
            "credits": self.economy.credits,
            "used": list(self.limits.used),
            "last_growth": self.limits.last_growth,
            "end": [self.end.best, self.end.since_gain, self.end.since_extrema],
            "epochs": [self.epoch, self.decided],
            "rotation": self.rotation,
            "recent": [list(batch) for batch in self.recent],
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """See :class:`Learner`."""
        self.trigger.samples = state["samples"]
        self.trigger.total, self.trigger.count = state["norms"]
        self.economy.credits = state["credits"]
        self.limits.used, self.limits.last_growth = state["used"], state["last_growth"]
        self.end.best, self.end.since_gain, self.end.since_extrema = state["end"]
        self.epoch, self.decided = state["epochs"]
        self.rotation = state["rotation"]
        device = self.module.weight.device
        self.recent = [(inputs.to(device), labels.to(device)) for inputs, labels in state["recent"]]

    def _observe_norms(self, epoch: int) -> None:
        """Observe the norms of the steps in ``epoch`` since the last call."""
        norms, self._norms = self._norms, []
        for norm in torch.stack(norms).tolist() if norms else ():
            if self.trigger.observe(norm):
                self._earn(epoch)

    def _earn(self, epoch: int) -> None:
        """Earn the reward of a spike in ``epoch``, unless credits pause while the last growth settles."""
        if not (self.config.economy.pause and self.limits.settles(epoch - 1)):
            self.economy.earn()

    def _activations(self, inputs: Tensor) -> Tensor:
        """Return activations ``[B, units]``; the output layer's sums pass through the activation like all others."""
        with torch.no_grad():
            layers = self.module.activations(inputs)
            return torch.cat([*layers[:-1], dense.apply(layers[-1], self.config.activation)], 1)

    def _grow(self, extrema: Extrema, activity: Activity, accuracy: float) -> bool:
        """Grow if credits, limits and extrema allow it; return True if edges were added."""
        net, quota = self.module, self.limits.quota(self.epoch)
        if not quota or not self.economy.affords_growth or not extrema.found:
            return False
        draft = Draft(net.layout, *net.laid(), room=net.room)
        phase = phase_at(self.config.phases, self.epoch + 1)
        longer = length_preference(phase, len(self.config.phases), self.config.routing)
        grown = grow(draft, extrema, self.config, self._scores(activity), quota, self.rotation, longer)
        self.rotation = grown.rotation
        if not grown.structures:
            return False
        if worth_saving(self.config, self.epoch, accuracy, self._last(), grows=True):
            self._save(accuracy)
        net.lay(*draft.new_edges())
        net.record_growth(self.epoch, grown.structures)
        self.limits.charge(self.epoch, grown.structures)
        self.economy.spend()
        return True

    def _prune(self) -> None:
        """Prune the edges that the phase leaves behind, and make room for the next growth."""
        net, phase = self.module, self.config.phases[phase_at(self.config.phases, self.epoch)]
        live = int(net.weight.count_nonzero())
        left = edges_after(phase, self.epoch, live)
        if left < live:
            prune(net, left)
            free_slots(net, self._optimizer)
            self._find_pruned()

    def _find_pruned(self) -> None:
        pruned = (self.module.weight.detach()[: int(self.module.edges)] == 0).nonzero().flatten()
        self.pruned = pruned if len(pruned) else None

    def _scores(self, activity: Activity) -> Tensor:
        if self.config.routing.choice == "random":
            return random_scores(self.module.layout.units)
        inputs, labels = (torch.cat(parts) for parts in zip(*self.recent, strict=True))
        return gradient_scores(missing_gradient(self.module, inputs, labels), activity.std)

    def _last(self) -> Snapshot | None:
        store = self.module.snapshots
        return store[len(store) - 1] if len(store) else None

    def _save(self, accuracy: float) -> None:
        store = self.module.snapshots
        phase = phase_at(self.config.phases, self.epoch)
        new = self.module.freeze(self.epoch, phase, accuracy)
        store.replace(retain([*(store[number] for number in range(len(store))), new], self.config))
