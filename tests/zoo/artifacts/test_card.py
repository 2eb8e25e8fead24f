from __future__ import annotations

import socket
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result
from huggingface_hub import ModelCard

from sdk import InputSpec
from sdk.artifact import read_artifact
from sdk.catalog import bundled_models
from tests.support.artifacts import write_tiny
from zoo.artifacts.card import NOTES_BEGIN, NOTES_END, card_text, read_notes
from zoo.cli import cli
from zoo.families.gridnet.config import GridnetConfig
from zoo.families.registry import get_family
from zoo.recipe import load_recipe
from zoo.utils.errors import CardError
from zoo.utils.provenance import gather_provenance

SPEC = InputSpec("image", (1, 8, 8), (0.5,), (0.25,))
RECIPE = load_recipe("gridnet-digits").to_yaml()
METRICS = {
    "test_accuracy": 0.25,
    "test_correct": 90,
    "test_total": 360,
    "test_interval_95": [0.2081, 0.2973],
    "seeds": 1,
}
SEEDS = {
    "seeds": 2,
    "seed_results": [
        {"seed": 0, "accuracy": 0.25, "correct": 90, "total": 360},
        {"seed": 1, "accuracy": 0.5, "correct": 180, "total": 360},
    ],
    "test_accuracy_mean": 0.375,
    "test_accuracy_std": 0.17678,
}


def artifact(folder: Path, data: str = "mnist", **changes: Any) -> Path:
    """Write the artifact of a small untrained gridnet."""
    config = GridnetConfig(grid=(8, 8, 2), block=2, outer_steps=2)
    given: dict[str, Any] = {
        "input_spec": SPEC,
        "metrics": METRICS,
        "provenance": gather_provenance(RECIPE, seed=0, steps=7, wall_seconds=1.2, data={"name": data}),
        **changes,
    }
    return write_tiny(folder / "tiny", config, RECIPE, **given)


def card(folder: Path) -> str:
    return (folder / "README.md").read_text()


def render(folder: Path) -> Result:
    return CliRunner().invoke(cli, ["card", str(folder)])


def write_notes(folder: Path, notes: str) -> None:
    (folder / "README.md").write_text(
        card(folder).replace(f"{NOTES_BEGIN}\n{NOTES_END}", NOTES_BEGIN + notes + NOTES_END)
    )


def test_the_hub_metadata_holds_task_data_set_and_accuracy(tmp_path: Path) -> None:
    data = ModelCard.load(artifact(tmp_path, formats=("safetensors", "onnx")) / "README.md").data
    assert (data.library_name, data.license, data.pipeline_tag) == ("cellzoo", "mit", "image-classification")
    assert data.tags == ["cellzoo", "gridnet", "onnx"]
    assert (data.datasets, data.metrics, data.model_name) == (["ylecun/mnist"], ["accuracy"], "tiny")
    [result] = data.eval_results
    assert (result.dataset_type, result.dataset_split, result.metric_type) == ("ylecun/mnist", "test", "accuracy")
    assert result.metric_value == 0.25


def test_the_card_claims_no_unmeasured_result(tmp_path: Path) -> None:
    folder = artifact(tmp_path, metrics={})
    assert ModelCard.load(folder / "README.md").data.eval_results is None
    assert "Nothing was measured" in card(folder)
    assert "interval" not in card(folder).split("## Limits")[0]


def test_a_licence_unknown_to_the_hub_is_given_by_name(tmp_path: Path) -> None:
    data = ModelCard.load(artifact(tmp_path, licence="LicenseRef-Ours") / "README.md").data
    assert (data.license, data.license_name) == ("other", "LicenseRef-Ours")


def test_the_card_describes_the_model_its_results_and_its_training(tmp_path: Path) -> None:
    folder = artifact(tmp_path, data="digits")
    text = card(folder)
    for part in (
        "# tiny",
        get_family("gridnet").about.strip(),
        "an image `[1, 8, 8]`",
        "3 classes: zero, one, two",
        "| test accuracy | **25.00%** (90 of 360) |",
        "| 95 % confidence interval (Wilson) | 20.81% to 29.73% |",
        "Only one seed was trained",
        'sdk.load("tiny")',
        ".module  # the torch.nn.Module",
        "Trained for 7 steps with seed 0 on digits in 1 s, on ",
        f"```yaml\n{RECIPE.strip()}\n```",
        f"| [model.safetensors](model.safetensors) | {(folder / 'model.safetensors').stat().st_size:,} |",
        "## Licence\n\nMIT",
    ):
        assert part in text
    assert "onnxruntime" not in text
    assert ModelCard.load(folder / "README.md").data.datasets is None  # digits are not on the Hub


def test_the_card_lists_every_seed(tmp_path: Path) -> None:
    text = card(artifact(tmp_path, metrics={**METRICS, **SEEDS}))
    assert "| 0 | 25.00% (90 of 360) |\n| 1 | 50.00% (180 of 360) |" in text
    assert "| mean test accuracy of 2 seeds | 37.50% |" in text
    assert "| sample standard deviation of the seeds | 17.68% |" in text
    assert "--seeds 2" in text
    assert "Only one seed was trained" not in text


def test_rendering_again_gives_the_same_bytes_without_network(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        raise AssertionError("rendering a card used the network")

    monkeypatch.setattr(socket.socket, "connect", refuse)
    folder = artifact(tmp_path)
    before = {path.name: path.read_bytes() for path in folder.iterdir()}
    result = render(folder)
    assert result.exit_code == 0, result.output
    assert str(folder / "README.md") in result.output
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == before


def test_notes_between_the_markers_stay_and_the_card_is_sealed_again(tmp_path: Path) -> None:
    folder, notes = artifact(tmp_path), "\n## My notes\n\nUse {{ with }} <!-- care -->, 100 µm.\n\n"
    write_notes(folder, notes)
    (folder / "README.md").write_text(card(folder).replace("Every input", "No input"))
    assert render(folder).exit_code == 0
    assert NOTES_BEGIN + notes + NOTES_END in card(folder)
    assert "No input" not in card(folder)
    read_artifact(folder)
    rendered = card(folder)
    assert render(folder).exit_code == 0
    assert card(folder) == rendered


def test_notes_survive_a_new_training_and_a_new_format(tmp_path: Path) -> None:
    folder = artifact(tmp_path)
    write_notes(folder, "\nmine\n")
    artifact(tmp_path, overwrite=True)
    assert f"{NOTES_BEGIN}\nmine\n{NOTES_END}" in card(folder)
    read_artifact(folder)


@pytest.mark.parametrize(
    "damage",
    [
        lambda text: text.replace(NOTES_END, ""),
        lambda text: text.replace(NOTES_BEGIN, ""),
        lambda text: text + NOTES_END,
        lambda text: text.replace(NOTES_BEGIN, "X").replace(NOTES_END, NOTES_BEGIN).replace("X", NOTES_END),
    ],
    ids=["no end", "no begin", "two ends", "swapped"],
)
def test_misplaced_markers_fail_with_one_clear_line_and_nothing_is_lost(tmp_path: Path, damage: Any) -> None:
    folder = artifact(tmp_path)
    write_notes(folder, "\nmine\n")
    (folder / "README.md").write_text(damage(card(folder)))
    before = {path.name: path.read_bytes() for path in folder.iterdir()}
    result = render(folder)
    assert result.exit_code == 1
    assert len(result.stderr.splitlines()) == 1
    assert "expected one of each in this order; put hand-written notes between them" in result.stderr
    with pytest.raises(CardError, match="hand-written notes"):
        artifact(tmp_path, overwrite=True)
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == before


def test_a_damaged_model_is_not_sealed_again(tmp_path: Path) -> None:
    folder = artifact(tmp_path)
    (folder / "recipe.yaml").write_text(RECIPE.replace("seed: 0", "seed: 1"))
    result = render(folder)
    assert result.exit_code == 1
    assert "recipe.yaml was altered" in result.stderr


@pytest.mark.parametrize("name", sorted(bundled_models()))
def test_every_shipped_card_is_up_to_date_with_the_template(name: str) -> None:
    folder = bundled_models()[name]
    config = read_artifact(folder).config
    assert card(folder) == card_text(folder, config, read_notes(folder / "README.md"))
    [result] = ModelCard.load(folder / "README.md").data.eval_results
    assert result.metric_value == config.metrics["test_accuracy"]


@pytest.mark.parametrize(
    ("data", "link", "identifier"),
    [
        ("fashion_mnist", "[fashion_mnist](https://huggingface.co/datasets/zalando-datasets/fashion_mnist)",
         "zalando-datasets/fashion_mnist"),
        ("uoft-cs/cifar10", "[uoft-cs/cifar10](https://huggingface.co/datasets/uoft-cs/cifar10)", "uoft-cs/cifar10"),
        ("photos", "the test split of photos,", None),
    ],
)  # fmt: skip
def test_a_card_names_and_links_the_data_set(tmp_path: Path, data: str, link: str, identifier: str | None) -> None:
    folder = artifact(tmp_path, data)
    assert link in card(folder)
    assert ModelCard.load(folder / "README.md").data.datasets == (identifier and [identifier])


def test_a_model_that_started_from_one_on_the_hub_names_it_as_base_model(tmp_path: Path) -> None:
    commit = "0123456789abcdef" * 2 + "01234567"
    start = {"name": "tiny", "repo": "alice/tiny", "commit": commit, "weights_sha256": "f" * 64,
             "taken_parameters": 900, "new_parameters": 100, "taken": ["weight"]}  # fmt: skip
    made = gather_provenance(RECIPE, seed=0, steps=1, wall_seconds=1.0, data={"name": "digits"})
    folder = write_tiny(
        tmp_path / "mine", recipe_yaml=RECIPE, metrics=METRICS, provenance={**made, "start_from": start}
    )
    card = ModelCard.load(folder / "README.md")
    assert card.data.base_model == "alice/tiny"
    assert card.data["base_model_relation"] == "finetune"
    repo = "[alice/tiny](https://huggingface.co/alice/tiny)"
    assert f"It took 900 of its 1,000 parameters from {repo} at commit `{commit[:12]}`" in card.text
    assert "- Apart from the weights that it started from, the model was trained and tested on digits only" in card.text
    shown = CliRunner().invoke(cli, ["info", str(folder)]).output
    assert f"alice/tiny@{commit}: 900 of 1,000 parameters taken" in shown


def test_the_card_of_a_rule_that_learned_on_generated_tasks_says_so() -> None:
    texts = {name: card(bundled_models()[name]) for name in ("nca-learner", "nca-iris")}
    assert "Trained for 300 steps with seed 0 on generated tasks, for iris (96 training" in texts["nca-learner"]
    assert "- The model was trained on generated tasks, and was applied to and tested on [iris]" in texts["nca-learner"]
    assert "Trained for 500 steps with seed 0 on iris (96 training" in texts["nca-iris"]
    assert "- The model was trained and tested on [iris]" in texts["nca-iris"]
