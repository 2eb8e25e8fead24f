"""Model families, a package each. A family knows nothing of files, the command line or the Hub.

To add one, write the package ``zoo/families/NAME`` whose ``__init__.py`` defines ``FAMILY``, and name it in
:mod:`zoo.families.registry`.
"""
