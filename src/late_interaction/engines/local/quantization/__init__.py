"""Compression of token vectors: a codebook of centroids, and a few bits for each dimension of the residual."""
