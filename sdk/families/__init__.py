"""What single families add to a loaded model."""
