"""Compare late-interaction engines on the same vectors, in one run."""
