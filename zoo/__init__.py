"""The training side of cellzoo: recipes, families, kernels, the training loop, artifacts and the command line."""
