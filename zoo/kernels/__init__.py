"""Kernel ops, a package each.

``__init__`` has the public functions, ``op`` the registered torch op with its compiled bodies and autograd,
``reference`` the specification in plain torch.
"""
