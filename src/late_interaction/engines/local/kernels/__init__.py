"""Pure functions on arrays: the compiled kernels, a plain numpy reference of each, and exact MaxSim."""

from late_interaction.engines.local.kernels.exact import maxsim, maxsim_reference, top_k

__all__ = ["maxsim", "maxsim_reference", "top_k"]
