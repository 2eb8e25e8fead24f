"""The sections of a recipe as frozen, strict pydantic models. Imports no torch."""
