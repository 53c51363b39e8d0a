"""The kernels of the scan over centroids, a NumPy reference of each, and how kernels are compiled and kept on disk."""
