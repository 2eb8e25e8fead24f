"""What models of single families offer beyond :class:`sdk.models.Model`: one module each, named in sdk.models."""
