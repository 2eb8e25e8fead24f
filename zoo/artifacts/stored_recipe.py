"""The recipe that a trained model stores."""

from __future__ import annotations

from sdk.artifact import RECIPE_FILE, Artifact
from zoo.families.registry import PACKAGE_KEY, get_family
from zoo.recipe import Recipe, load_recipe


def recipe_of_artifact(artifact: Artifact) -> Recipe:
    """Load the recipe of an artifact that has one.

    Raises RecipeError, ArtifactError for a damaged file, and FamilyError for a family whose package is missing.
    """
    get_family(artifact.config.family, artifact.config.provenance.get(PACKAGE_KEY))  # names the package, if it is gone
    return load_recipe(artifact.file(RECIPE_FILE))
