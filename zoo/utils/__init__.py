"""Small tools that every other package may use: errors, files, statistics, timing, provenance, figures."""
