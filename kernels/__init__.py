"""Triton kernels and the constants that every backend shares; imported as `rsfast.kernels`.

Importing this package does not import triton, nor does `coefficients`; `philox`, `draws`, `perturb` and `votes` do.
"""
