"""Compress token vectors: a codebook of centroids, and codecs for the residuals."""
