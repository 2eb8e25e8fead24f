"""Small tools below every other package: errors, files, statistics, timing, provenance, figures."""
