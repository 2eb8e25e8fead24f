"""The targets of the fuzzer: for each kind of file, seeds, a mutation, and the use that a user would make of it."""

from __future__ import annotations

import hashlib
import json
import random
import shutil
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
import yaml

import sdk
from sdk import InputSpec
from sdk.artifact import Artifact, ArtifactConfig, read_artifact
from sdk.backends.onnx import open_backend
from sdk.images import FORMATS, read_picture
from sdk.json_text import parse_json
from sdk.weights import read_weights
from tests.support.fuzz_mutators import (
    encode_tree,
    hostile_value,
    mutate_bytes,
    mutate_png,
    mutate_protobuf,
    mutate_safetensors,
    mutate_text,
    mutate_tree,
)
from tests.support.fuzz_seeds import DATASET_CARD, make_array, make_frame, make_parquet, make_picture
from tests.support.paths import ROOT
from tests.support.tables import CSV, ROWS, table_spec, write_table_model
from zoo.artifacts.card import NOTES_BEGIN, NOTES_END, card_text, read_notes
from zoo.artifacts.catalog import describe
from zoo.data.dataset_card import read_configs
from zoo.recipe import load_recipe
from zoo.training.checkpoint import CHECKPOINT_FILE, load_checkpoint, save_checkpoint

_SMALL = ("nca-iris", "normnet-digits", "snapshots-digits", "cellnet-digits", "gridnet-digits")


@dataclass
class Lab:
    """A worker's folder, and what it prepares once."""

    folder: Path
    kept: dict[str, Any] = field(default_factory=dict)

    def once(self, name: str, make: Callable[[], Any]) -> Any:
        if name not in self.kept:
            self.kept[name] = make()
        return self.kept[name]

    def write(self, name: str, content: bytes) -> Path:
        path = self.folder / name
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(content)
        return path


def attack_config(lab: Lab, chance: random.Random) -> None:
    """A changed config.json: load the model, show its facts, render its card."""
    name = chance.choice((*_SMALL, "table"))
    source = lab.once("table", lambda: write_table_model(lab.folder / "table")) if name == "table" else _export(name)
    target = _copy(lab, source, "config")
    tree = lab.once(f"{name}.json", lambda: json.loads((source / "config.json").read_text()))
    part = chance.choice(("model", "input", "metrics", "provenance", None, None))
    changed = {**tree, part: mutate_tree(tree[part], chance)} if part and tree[part] else mutate_tree(tree, chance)
    content = encode_tree(changed, chance)
    lab.write(f"{target.name}/config.json", content if chance.random() < 0.95 else mutate_bytes(content, chance))
    action = chance.randrange(6)
    if action == 0:
        sdk.load(target, backend="torch")
    elif action == 1:
        sdk.load(target, backend="onnx", timeout=5)
    elif action == 5:
        sdk.load(target)
    elif action == 2:
        describe(str(target))
    else:
        artifact = read_artifact(target)
        card_text(target, artifact.config)
        repr(artifact.config)


def attack_safetensors(lab: Lab, chance: random.Random) -> None:
    """Changed weights: read them as the torch backend does; now and then load a model that has them."""
    name = chance.choice(("nca-iris", "nca-iris", "normnet-digits"))
    source = _export(name)
    content = mutate_safetensors((source / "model.safetensors").read_bytes(), chance)
    if chance.random() < 0.03:
        target = _copy(lab, source, "weights")
        lab.write(f"{target.name}/model.safetensors", content)
        _seal(source, target, "model.safetensors", content)
        sdk.load(target, backend="torch")
        return
    expected = lab.once(f"{name}.tensors", lambda: _expected(source / "model.safetensors"))
    read_weights(lab.write("weights.safetensors", content), expected)


def attack_checkpoint(lab: Lab, chance: random.Random) -> None:
    """A changed checkpoint of a run."""
    content = lab.once(CHECKPOINT_FILE, lambda: _checkpoint(lab))
    lab.write(f"run/{CHECKPOINT_FILE}", mutate_safetensors(content, chance))
    load_checkpoint(lab.folder / "run")


def attack_onnx(lab: Lab, chance: random.Random) -> None:
    """A changed ONNX graph under a config that lists it: open it and predict."""
    source = _export(chance.choice(("nca-iris", "nca-iris", "normnet-digits")))
    original = (source / "model.onnx").read_bytes()
    content = mutate_protobuf(original, chance) if chance.random() < 0.8 else mutate_bytes(original, chance)
    lab.write("onnx/model.onnx", content)
    config: ArtifactConfig = lab.once(f"{source.name}.config", lambda: read_artifact(source, []).config)
    backend = open_backend(
        Artifact(lab.folder / "onnx", config, frozenset({"model.onnx"}), origin="fuzz"), threads=1, timeout=5
    )
    backend.logits(np.zeros((2, *config.input.shape), np.float32))


def attack_recipe(lab: Lab, chance: random.Random) -> None:
    """A changed recipe, or overrides of one."""
    recipes = lab.once("recipes", lambda: sorted((ROOT / "recipes").glob("*.yaml")))
    text = chance.choice(recipes).read_text()
    overrides = []
    if chance.random() < 0.5:
        tree = mutate_tree(lab.once(text, lambda: yaml.safe_load(text)), chance)
        text = yaml.safe_dump(tree, default_flow_style=chance.choice((None, True, False)))
    if chance.random() < 0.4:
        text = mutate_text(text, chance)
    if chance.random() < 0.3:
        key = chance.choice(("model.hidden", "train.epochs", "model.phases", "data", "model.stem.channels", "train.lr"))
        overrides = [mutate_text(f"{key}={json.dumps(hostile_value(chance))}", chance)]
    load_recipe(lab.write("recipe.yaml", text.encode(errors="surrogatepass")), overrides)


def attack_card(lab: Lab, chance: random.Random) -> None:
    """A card with changed notes and markers; the card of a data set."""
    if chance.random() < 0.5:
        body = f"# x\n\n{NOTES_BEGIN}\nmine\n{NOTES_END}\n" * chance.choice((1, 1, 2))
        read_notes(lab.write("card/README.md", mutate_text(body, chance).encode(errors="surrogatepass")))
        return
    text = lab.once("dataset card", lambda: DATASET_CARD)
    content = mutate_text(text, chance).encode(errors="surrogatepass")
    lab.write("data/README.md", content if chance.random() < 0.8 else mutate_bytes(content, chance))
    read_configs(lab.folder / "data", "data")


def attack_image(lab: Lab, chance: random.Random) -> None:
    """A changed picture in any format."""
    name = chance.choice(("PNG", "PNG", "PNG", *FORMATS, "AVIF"))
    data = lab.once(f"{name}{chance.randrange(6)}", lambda: make_picture(name, chance))
    changed = mutate_png(data, chance) if name == "PNG" and chance.random() < 0.7 else mutate_bytes(data, chance)
    channels = chance.choice((1, 3))
    source: Any = changed if chance.random() < 0.8 else lab.write("picture.png", changed)
    read_picture(source, (channels, 8, 8), chance.choice((None, 8, 32)))


def attack_array(lab: Lab, chance: random.Random) -> None:
    """Arrays and nested lists of any kind."""
    specs = lab.once("specs", lambda: (_IMAGE, _COLOUR, InputSpec("table", (4,), (0.0,) * 4, (1.0,) * 4), table_spec()))
    chance.choice(specs).prepare(make_array(chance))


def attack_rows(lab: Lab, chance: random.Random) -> None:
    """Rows as dicts, lists and frames with hostile cells, names and shapes."""
    rows: Any = mutate_tree(ROWS, chance)
    form = chance.randrange(4)
    if form == 1 and rows:
        rows = rows[0]
    elif form == 2:
        rows = [list(row.values()) if isinstance(row, dict) else row for row in rows]
    elif form == 3:
        rows = {key: [row.get(key) if isinstance(row, dict) else row for row in rows] for key in ROWS[0]}
        rows = make_frame(rows) if chance.random() < 0.3 else rows
    failures: dict[int, Any] | None = {} if chance.random() < 0.5 else None
    for _ in table_spec().batches(rows, 2, None, failures)[0]:
        pass


def attack_table_file(lab: Lab, chance: random.Random) -> None:
    """A changed CSV, JSON or Parquet file."""
    ending = chance.choice((".csv", ".tsv", ".json", ".jsonl", ".parquet", ".csv", ".jsonl"))
    if ending == ".parquet":
        content = mutate_bytes(lab.once(ending, make_parquet), chance)
    elif ending in (".csv", ".tsv"):
        text = CSV if ending == ".csv" else CSV.replace(",", "\t")
        content = mutate_text(text, chance).encode(errors="surrogatepass")
    else:
        rows = mutate_tree(ROWS, chance)
        lines = [encode_tree(row, chance) for row in rows]
        content = encode_tree(rows, chance) if ending == ".json" else b"\n".join(lines)
    content = mutate_bytes(content, chance) if chance.random() < 0.2 else content
    failures: dict[int, Any] | None = {} if chance.random() < 0.5 else None
    for _ in table_spec().batches(lab.write(f"rows{ending}", content), 2, None, failures)[0]:
        pass


ATTACKS: dict[str, tuple[int, Callable[[Lab, random.Random], None]]] = {
    "config.json": (12, attack_config),
    "safetensors": (12, attack_safetensors),
    "checkpoint": (4, attack_checkpoint),
    "onnx": (14, attack_onnx),
    "recipe": (8, attack_recipe),
    "card": (6, attack_card),
    "image": (20, attack_image),
    "array": (10, attack_array),
    "rows": (8, attack_rows),
    "table file": (12, attack_table_file),
}
"""Each kind of input with its share and its function."""

_IMAGE = InputSpec("image", (1, 8, 8), (0.5,), (0.25,))
_COLOUR = InputSpec("image", (3, 8, 8), (0.5,) * 3, (0.25,) * 3)


def _export(name: str) -> Path:
    return ROOT / "exports" / name


def _copy(lab: Lab, source: Path, purpose: str) -> Path:
    """Return a worker's copy of a model, in which an attack replaces files."""
    target = lab.folder / f"{purpose}-{source.name}"
    lab.once(target.name, lambda: shutil.copytree(source, target))
    return target


def _seal(source: Path, target: Path, file: str, content: bytes) -> None:
    """Write a config.json that lists a changed file."""
    tree = json.loads((source / "config.json").read_text())
    tree["files"][file] = {"sha256": hashlib.sha256(content).hexdigest(), "size": len(content)}
    (target / "config.json").write_text(json.dumps(tree))


def _expected(path: Path) -> dict[str, tuple[str, tuple[int, ...]]]:
    data = path.read_bytes()
    header = parse_json(data[8 : 8 + int.from_bytes(data[:8], "little")])
    names = {"F32": "float32", "I64": "int64", "BOOL": "bool", "U8": "uint8", "I32": "int32", "F64": "float64"}
    return {
        name: (names[entry["dtype"]], tuple(entry["shape"])) for name, entry in header.items() if name != "__metadata__"
    }


def _checkpoint(lab: Lab) -> bytes:
    run = lab.folder / "first"
    run.mkdir()
    state = {"step": 3, "optimizer": {0: {"m": torch.zeros(3), "betas": (0.9, 0.99)}}, "labels": ["a", None, True]}
    save_checkpoint(run, state)
    return (run / CHECKPOINT_FILE).read_bytes()
