"""Compare this version of the package with another one, in one run."""
