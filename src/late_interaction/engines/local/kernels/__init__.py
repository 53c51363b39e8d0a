"""Pure functions on arrays: the compiled kernels, and a NumPy reference implementation of each."""
