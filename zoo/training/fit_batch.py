"""The batch size of a recipe on data that it was not written for."""

from __future__ import annotations

from zoo.recipe import Recipe

LEAST_STEPS = 4
"""Steps of an epoch that a cut batch size gives at least."""


def fit_batch_size(recipe: Recipe, samples: int) -> tuple[Recipe, str]:
    """Cut the batch size so that an epoch has at least LEAST_STEPS steps; return the recipe and a line about it.

    The new size is a power of two. A recipe whose batches are small enough is returned as it is, with an empty line.
    """
    size = recipe.train.batch_size
    if size * LEAST_STEPS <= samples:
        return recipe, ""
    cut = 1 << (max(1, samples // LEAST_STEPS).bit_length() - 1)
    if cut >= size:
        return recipe, ""
    train = recipe.train.model_copy(update={"batch_size": cut})
    line = f"train.batch_size: {cut} instead of the recipe's {size}, so that {samples} training samples give "
    return recipe.model_copy(update={"train": train}), f"{line}{samples // cut} steps per epoch; -o train.batch_size=N"
