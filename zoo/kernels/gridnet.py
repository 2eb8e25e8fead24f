from zoo.kernels.gridnet_reference import gated_gridnet_step, gridnet_step  # noqa
