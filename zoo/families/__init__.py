"""Model families, one package each. A family knows nothing about files, the command line or the Hub.

To add a family, write the package ``zoo/families/NAME`` with a ``FAMILY`` in its ``__init__.py``, and list it in
:mod:`zoo.families.registry`.
"""
