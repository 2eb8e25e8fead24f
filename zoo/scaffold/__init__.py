"""``zoo new``: a package to start a family of one's own from."""
