"""Score documents of the residual codec for a query: the stages, their kernels, and a NumPy reference of each."""
