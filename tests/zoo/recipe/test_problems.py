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
        ("model.grid=[8, 8]", "model.grid.2: this value is missing"),
        ("model.block=5", "model.block: block 5 must divide every axis of the grid"),
        ("model.outer_step=5", "model.outer_step: unknown key (did you mean outer_steps?); allowed keys: "),
        ("model.outer_steps=many", 'model.outer_steps: found "many", should be a valid integer'),
        ("model.outer_steps=2.5", "model.outer_steps: found 2.5, should be a valid integer"),
        ("model.outer_steps=true", "model.outer_steps: found true, should be a valid integer"),
        ("model.outer_steps='5'", 'model.outer_steps: found "5", should be a valid integer'),
        ("model.outer_steps=0", "model.outer_steps: found 0, should be greater than or equal to 1"),
        ("model.init_scale=.nan", "model.init_scale: found nan, should be a finite number"),
        ("train.optimizer.lr=.inf", "train.optimizer.lr: found inf, should be a finite number"),
        ("train.optimizer.lr=-1", "train.optimizer.lr: found -1, should be greater than 0"),
        ("train.optimizer.lr=null", "train.optimizer.lr: found nothing, should be a valid number"),
        ("train.optimizer={name: sgd}", "train.optimizer.lr: this key is missing; write lr: 0.1"),
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
        ("data.name=cifar", 'data.name: found "cifar", allowed: digits, mnist, fashion_mnist, iris, image_folder, '
         "dataset"),
        ("data.image_size=8", "data.image_size: unknown key; allowed keys: "),
        ("data.validation=0", "data.validation: validation should be above 0"),
        ("data.augment.shift=1.5", "data.augment.shift: found 1.5, should be a valid integer"),
        ("data.augment.shft=1", "data.augment.shft: unknown key (did you mean shift?); allowed keys: crop"),
        ("data.augment.crop.scale=[0.9, 0.1]", "data.augment.crop.scale: scale [0.9, 0.1] should be a lower"),
        ("data.augment=[1]", "data.augment: found [1], should be an object"),
        ("export.formats=[pickle]", "export.formats.0: found \"pickle\", should be 'safetensors'"),
        ("model={family: gridnet}", "model.grid: this key is missing; write grid: [8, 8, 8]"),
        ("model={family: cellnet}", "model.cells: this key is missing; write cells: 5"),
        (
            "model={family: normnet, convolutions: [{size: 3}]}",
            "model.convolutions.0.channels: this key is missing; write channels: 24",
        ),
        (
            "model={family: cellnet, cells: 6, topology: {name: clusters}}",
            "model.topology.size: this key is missing; write size: 3",
        ),
        (
            "model={family: snapshots, phases: [{name: a, until: 5, snapshots: 1}]}",
            "model.phases.0.structures: this key is missing; write structures: 10",
        ),
        (
            "model={family: snapshots, phases: [{name: a, until: 0, structures: 1, snapshots: 1}]}",
            "model.phases.0.until: found 0, should be greater than or equal to 1",
        ),
        ("model={family: snapshots, phases: []}", "model.phases: found [], Tuple should have at least 1 item"),
        ("data={name: image_folder, image_size: 300, resize: 256}", "data.resize: resize 256 should be at least"),
        ("data={name: image_folder, test: 1.5}", "data.test: found 1.5, should be a whole number of at least 0, or a"),
        ("data={name: image_folder, path: 3}", "data.path: found 3, should be a valid string"),
        ("data={name: image_folder, path: ''}", 'data.path: found "", '),
        ("data.path=/pets", "data.path: unknown key; allowed keys: validation, seed"),
        ("export.licence=''", 'export.licence: found "", '),
    ],
)  # fmt: skip
def test_a_wrong_value_is_one_line_with_its_key_path(override: str, line: str) -> None:
    assert problem(override).startswith(line)


def test_an_export_without_safetensors_is_refused() -> None:
    assert problem("export.formats=[]").startswith("export.formats: formats should include safetensors")
