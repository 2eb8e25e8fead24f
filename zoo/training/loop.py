"""The training loop: fit in rounds, each with a validation and a checkpoint, then test once.

The loop knows no family by name; it owns optimizer, schedule, device, precision, progress and checkpoints. Accelerate
handles placement and distribution: the same function runs alone and under ``torchrun`` or ``accelerate launch``.
"""

from __future__ import annotations

import re
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import torch
from accelerate.utils import set_seed
from torch import Tensor
from torch.optim.swa_utils import AveragedModel

from zoo.data.sampling import derive_seed, evaluation_batches, training_batches
from zoo.data.split import Data, Split
from zoo.families.learner import StepResult
from zoo.recipe import Recipe
from zoo.training.callbacks import Metric, call_on_validation, restore_best
from zoo.training.checkpoint import save_checkpoint
from zoo.training.evaluate import evaluate
from zoo.training.finite import NotFiniteError
from zoo.training.result import CHECKPOINT_FILE, Evaluation, TrainResult
from zoo.training.run import Callback, Run, run_state, tested_module
from zoo.training.run_folder import check_resumable, hold
from zoo.training.setup import Check, setup
from zoo.utils.errors import TrainingError, TrainingInterruptedError
from zoo.utils.signals import check_stopped, exit_code, stop_behind

_LOST_PEER = re.compile("(?i)connection (was )?(closed|reset|refused)|peer|timed out")
"""Messages of torch.distributed's backends about a process that no longer answers."""


def train(
    recipe: Recipe,
    *,
    run_dir: str | Path,
    data: Data | None = None,
    data_dir: str | Path | None = None,
    device: str | None = None,
    resume: bool = False,
    track: Sequence[str] = (),
    progress: bool = True,
    check: Check | None = None,
    fit_batch: bool = False,
    notes: Sequence[str] = (),
    callbacks: Sequence[Callback] = (),
    metrics: Mapping[str, Metric] | None = None,
) -> TrainResult:
    """Train a recipe's model; write checkpoints, ``recipe.yaml`` and ``metrics.jsonl`` to ``run_dir``.

    The folder is locked meanwhile, and a new run destroys nothing in it. ``data`` replaces the data set that the
    recipe names. ``device`` is cpu, cuda or mps (None: the best available). ``resume`` continues from the
    checkpoint in ``run_dir``; on the CPU the final weights are those of an uninterrupted run, bit for bit.
    ``check`` is called with the recipe, the data and the untrained module before anything is written. ``fit_batch``
    cuts a batch size that is large for the data (:func:`zoo.training.fit_batch.fit_batch_size`); ``track`` names
    experiment trackers, such as tensorboard; ``notes`` are printed with the lines on the data; ``callbacks`` are
    called at each validation, and ``metrics`` are computed on its logits. Raises TrainingError, DataError or
    CheckpointError with a message of one line, the errors of ``check``, and TrainingInterruptedError on Ctrl-C.
    """
    folder = Path(run_dir)
    if resume:
        check_resumable(folder)
    with hold([folder], resume):
        return train_held(
            recipe,
            run_dir=folder,
            data=data,
            data_dir=data_dir,
            device=device,
            resume=resume,
            track=track,
            progress=progress,
            check=check,
            fit_batch=fit_batch,
            notes=notes,
            callbacks=callbacks,
            metrics=metrics,
        )


def train_held(recipe: Recipe, *, run_dir: Path, **options: Any) -> TrainResult:
    """Do as :func:`train`, with its other options, in a folder that the caller holds."""
    with _fitted(recipe, run_dir, options) as run:
        return finish(run)


def validate_held(recipe: Recipe, *, run_dir: Path, **options: Any) -> Evaluation:
    """Train as :func:`train_held` does, and return the final validation; the test split stays untouched."""
    with _fitted(recipe, run_dir, options) as run:
        return conclude(run)


@contextmanager
def _fitted(recipe: Recipe, run_dir: Path, options: dict[str, Any]) -> Iterator[Run]:
    """Yield a run that has taken its last step; close its log at the end."""
    run = setup(recipe, run_dir, **options)
    try:
        run.log.start(run.step, run.history)
        run.learner.on_start(run.optimizer)
        for callback in run.callbacks:
            callback.on_start(run)
        fit(run)
        yield run
    except (Exception, KeyboardInterrupt) as error:
        stop = stop_behind(error)
        if stop is not None:
            where = f"interrupted at step {run.step} of {run.total_steps}"
            raise TrainingInterruptedError(f"{where}; {_kept(run)}", exit_code(stop)) from None
        if isinstance(error, RuntimeError) and run.accelerator.num_processes > 1 and _LOST_PEER.search(str(error)):
            raise TrainingError(f"stopped after step {run.step}: another process of this run has died") from error
        raise
    finally:
        run.log.close()


def fit(run: Run) -> None:
    """Train in rounds until the last step; each round ends with a validation and a checkpoint."""
    settings = run.recipe.train
    processes, rank = run.accelerator.num_processes, run.accelerator.process_index
    batches = training_batches(
        len(run.data.train), settings.batch_size, settings.seed, run.step, run.total_steps, rank, processes
    )
    length = settings.checkpoint_every or run.steps_per_epoch
    with closing(run.data.train.stream(batches, run.accelerator.device)) as stream:
        while run.step < run.total_steps:
            end = min(run.total_steps, (run.step // length + 1) * length)
            _round(run, stream, end)


def _round(run: Run, stream: Iterator[tuple[Tensor, Tensor]], end: int) -> None:
    """Train until step ``end``, validate, and save a checkpoint."""
    started, used = time.perf_counter(), time.process_time()
    # Seeded per round, so that a learner draws the same numbers in a resumed run.
    set_seed(derive_seed(run.recipe.train.seed, 2, run.step), device_specific=True)
    means = train_steps(run, stream, end)
    run.learner.before_validation(run.step)
    validation = _evaluate(run, run.data.validation)
    run.learner.on_validation(run.step, validation.accuracy)
    run.seconds += time.perf_counter() - started
    run.cpu_seconds += time.process_time() - used
    record = {
        "step": run.step,
        "epoch": run.step / run.steps_per_epoch,
        "lr": run.lr,
        **{f"train_{key}": value for key, value in means.items()},
        "validation_loss": validation.loss,
        "validation_accuracy": validation.accuracy,
        "seconds": run.seconds,
    }
    ended = call_on_validation(run, record)
    if run.learner.finished or ended:
        run.total_steps = run.step
        run.log.end(run.step)
    run.history.append(record)
    run.log.sync()
    if run.accelerator.is_main_process:
        save_checkpoint(run.run_dir, run_state(run))
    run.saved_step = run.step
    run.log.round(record)
    for callback in run.callbacks:
        callback.on_round_end(run, record)


def train_steps(run: Run, stream: Iterator[tuple[Tensor, Tensor]], end: int) -> dict[str, float]:
    """Train until step ``end``; return the means of the loss and of the learner's logs over these steps."""
    settings = run.recipe.train
    sums: dict[str, Tensor] = {}
    first = run.step
    try:
        while run.step < end:
            check_stopped()
            inputs, labels = next(stream)
            result, numbers = _step(run, inputs, labels)
            for key, value in {"loss": result.loss.detach(), **result.logs}.items():
                sums[key] = sums.get(key, torch.zeros((), device=value.device)) + value
            if run.step % settings.log_every == 0:
                run.guard.settle()
                logs = {key: float(value) for key, value in {**numbers, **result.logs}.items()}
                run.log.step(run.step, settings.batch_size, {"epoch": run.step / run.steps_per_epoch, **logs})
            run.log.advance(run.step)
        run.guard.settle()
    except NotFiniteError as error:
        raise _not_finite(run, error) from None
    names = list(sums)
    totals = run.accelerator.reduce(torch.stack([sums[name] for name in names]), reduction="mean")
    return {name: total / (end - first) for name, total in zip(names, totals.tolist(), strict=True)}


def _step(run: Run, inputs: Tensor, labels: Tensor) -> tuple[StepResult, dict[str, float | Tensor]]:
    """Take every optimizer step that the learner asks for on one batch; return the last result and its numbers.

    On a GPU nothing here waits for the device: numbers are left there.
    """
    lr = run.lr
    for result in run.learner.training_steps(inputs, labels):
        numbers = {"lr": lr, **update_weights(run, result)}
    if not run.accelerator.optimizer_step_was_skipped:
        run.schedule.step()
    run.step += 1
    run.learner.on_step_end(run.step)
    if isinstance(run.tested, AveragedModel):
        run.tested.update_parameters(run.plain)
    if run.step % run.steps_per_epoch == 0:
        run.learner.on_epoch_end(run.step // run.steps_per_epoch)
    return result, numbers


def update_weights(run: Run, result: StepResult) -> dict[str, float | Tensor]:
    """Take one optimizer step, unless the loss or the clipped gradient is not finite; raises NotFiniteError."""
    settings, accelerator = run.recipe.train, run.accelerator
    run.guard.see(run.step + 1, run.lr, result.loss.detach())
    run.optimizer.zero_grad()
    accelerator.backward(result.loss)
    norm = None
    if settings.clip_norm is not None:
        norm = accelerator.clip_grad_norm_(run.module.parameters(), settings.clip_norm)
    numbers = run.guard.allow(norm)
    run.optimizer.step()
    return numbers


def _not_finite(run: Run, error: NotFiniteError) -> TrainingError:
    return TrainingError(
        f"stopped in step {error.step} (epoch {(error.step - 1) // run.steps_per_epoch + 1}): {error.what}, the last "
        f"finite loss was {error.last_loss:.4g}, lr {error.lr:.3g}; the weights were not changed and {_kept(run)}; try "
        "a lower train.optimizer.lr, a train.clip_norm, a longer train.schedule.warmup or precision fp32"
    )


def _kept(run: Run) -> str:
    """Return the words about the checkpoint that an attempt leaves behind."""
    if not (run.run_dir / CHECKPOINT_FILE).is_file():
        return f"no checkpoint is in {run.run_dir}"
    return f"the checkpoint of step {run.saved_step} is in {run.run_dir}"


def conclude(run: Run) -> Evaluation:
    """Let the learner make its final choices on the validation split, and evaluate that."""
    if run.recipe.export.which == "best":
        restore_best(run)
    batches = evaluation_batches(len(run.data.validation), run.recipe.train.eval_batch_size)
    with closing(run.data.validation.stream(batches, run.accelerator.device)) as stream:
        run.learner.on_finish(stream)
    return _evaluate(run, run.data.validation)


def finish(run: Run) -> TrainResult:
    """Conclude the run, then evaluate the test split once."""
    validation = conclude(run)
    test = _evaluate(run, run.data.test)
    record = {"step": run.step, "accuracy": test.accuracy, "correct": test.correct, "total": test.total,
              "loss": test.loss, "interval": list(test.interval), "seconds": run.seconds}  # fmt: skip
    run.log.test(record)
    module, best = tested_module(run).cpu().eval(), run.exported_step
    if run.log.trackers is not None:
        run.log.trackers.finish(run.history, run.recipe.model.family, module, run.step)
    return TrainResult(
        recipe=run.recipe,
        module=module,
        data=run.data,
        validation=validation,
        test=test,
        steps=run.step,
        epochs=run.step / run.steps_per_epoch,
        seconds=run.seconds,
        cpu_seconds=run.cpu_seconds,
        history=run.history,
        findings={**run.learner.findings(), **({"exported_step": best} if best is not None else {})},
        run_dir=run.run_dir,
        start=run.start,
    )


def _evaluate(run: Run, split: Split) -> Evaluation:
    """Evaluate a split over all processes, in float32 whatever the training precision."""
    accelerator = run.accelerator
    correct, total, loss = evaluate(
        tested_module(run),
        split,
        run.learner.objective,
        run.recipe.train.eval_batch_size,
        accelerator.device,
        accelerator.process_index,
        accelerator.num_processes,
    )
    sums = torch.tensor([correct, total, loss * total], device=accelerator.device)
    all_correct, all_total, all_loss = accelerator.reduce(sums, reduction="sum").tolist()
    return Evaluation(round(all_correct), round(all_total), all_loss / all_total)
