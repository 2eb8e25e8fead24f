from __future__ import annotations

import pytest

from tests.support.recipes import problem


@pytest.mark.parametrize(
    ("override", "line"),
    [
        ("extra=1", "extra: unknown section; allowed: model, data, train, export"),
        ("modle={}", "modle: unknown section (did you mean model?); allowed: model, data, train, export"),
        ("model.family=gridnot", 'model.family: unknown family "gridnot" (did you mean gridnet?)'),
        ("model=3", "model: should be a mapping with a family, found 3; families: "),
        ("model={grid: [8, 8, 2]}", "model.family: this key is missing; families: "),
        ("model.block=5", "model.block: block 5 must divide every axis of the grid"),
        ("model.outer_step=5", "model.outer_step: unknown key (did you mean outer_steps?); allowed keys: "),
        ("model.outer_steps=many", 'model.outer_steps: found "many", should be a valid integer'),
        ("model.outer_steps=2.5", "model.outer_steps: found 2.5, should be a valid integer"),
        ("model.outer_steps=true", "model.outer_steps: found true, should be a valid integer"),
        ("model.outer_steps='5'", 'model.outer_steps: found "5", should be a valid integer'),
        ("model.outer_steps=0", "model.outer_steps: found 0, should be greater than 0"),
        ("model.init_scale=.nan", "model.init_scale: found nan, should be a finite number"),
        ("train.optimizer.lr=.inf", "train.optimizer.lr: found inf, should be a finite number"),
        ("train.optimizer.lr=-1", "train.optimizer.lr: found -1, should be greater than 0"),
        ("train.optimizer.lr=null", "train.optimizer.lr: found nothing, should be a valid number"),
        ("train.optimizer={name: sgd}", "train.optimizer.lr: this key is missing"),
        ("train.optimizer.name=lion", 'train.optimizer.name: found "lion", allowed: sgd, adam'),
        ("train.optimizer={lr: 1}", "train.optimizer.name: this key is missing; allowed: sgd, adam, adamw"),
        ("train.optimizer.momentum=0.9", "train.optimizer.momentum: unknown key; allowed keys: lr, "),
        ("train.optimizer={name: sgd, lr: 1, betas: [0, 0]}", "train.optimizer.betas: unknown key"),
        ("train.optimizer={name: sgd, lr: 1, nesterov: true}", "train.optimizer.nesterov: nesterov needs"),
        ("train.optimizer.betas=[0.9]", "train.optimizer.betas"),
        ("train.optimizer.betas=[0.9, 1.0]", "train.optimizer.betas.1: found 1.0, should be less than 1"),
        ("train.schedule.name=step", 'train.schedule.name: found "step", allowed: constant, cosine'),
        ("train.schedule={name: constant, final: 0}", "train.schedule.final: unknown key; allowed keys: "),
        ("train.schedule.warmup=1.5", "train.schedule.warmup: found 1.5, should be a whole number"),
        ("train.schedule.warmup=-1", "train.schedule.warmup: found -1, should be a whole number"),
        ("train.schedule.warmup=long", 'train.schedule.warmup: found "long", should be a whole number'),
        ("train.steps=5", "train.epochs: epochs 60 and steps 5 exclude each other: set one of them to null"),
        ("train.epochs=null", "train.epochs: epochs or steps is missing"),
        ("train.precision=int8", "train.precision: found \"int8\", should be 'fp32', 'bf16' or 'fp16'"),
        ("train.ema=1", "train.ema: found 1, should be less than 1"),
        ("data.name=cifar", 'data.name: found "cifar", allowed: digits, mnist, iris, image_folder'),
        ("data.image_size=8", "data.image_size: unknown key; allowed keys: "),
        ("data.validation=0", "data.validation: validation should be above 0"),
        ("data.augment.shift=1.5", "data.augment.shift: found 1.5, should be a valid integer"),
        ("data.augment.shft=1", "data.augment.shft: unknown key (did you mean shift?); allowed keys: crop"),
        ("data.augment.crop.scale=[0.9, 0.1]", "data.augment.crop.scale: scale [0.9, 0.1] should be a lower"),
        ("data.augment=[1]", "data.augment: found [1], should be an object"),
        ("export.formats=[pickle]", "export.formats.0: found \"pickle\", should be 'safetensors'"),
        ("export.licence=''", 'export.licence: found "", '),
    ],
)  # fmt: skip
def test_a_wrong_value_is_one_line_with_its_key_path(override: str, line: str) -> None:
    assert problem(override).startswith(line)


def test_an_export_without_safetensors_is_refused() -> None:
    assert problem("export.formats=[]").startswith("export.formats: formats should include safetensors")
