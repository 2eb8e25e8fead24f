"""cellzoo's training side: recipes, families, kernels, the training loop, artifacts and the CLI."""
