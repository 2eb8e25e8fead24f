"""Recipes: one YAML file per model that holds everything needed to train it again."""

from zoo.recipe.files import recipe_folder, recipe_names
from zoo.recipe.parsing import to_yaml
from zoo.recipe.recipe import Recipe, load_recipe, read_recipe, stored_recipe

__all__ = ["Recipe", "load_recipe", "read_recipe", "recipe_folder", "recipe_names", "stored_recipe", "to_yaml"]
