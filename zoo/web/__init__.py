"""The zoo in a browser: builds a static site of trained models, serves it, and uploads it as a Space.

``page/`` holds the site's HTML, CSS and JavaScript. Modules here build the rest of it and load no torch, except
:mod:`zoo.web.samples`.
"""

FULL_PRECISION = "float32"
PRECISIONS = (FULL_PRECISION, "fp16")
"""Numbers in which a site can store weights."""
