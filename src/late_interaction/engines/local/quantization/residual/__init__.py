"""The residual codec: residuals rounded to a uniform grid of 1, 2, 3, 4 or 8 bits per dimension."""

from late_interaction.engines.local.quantization.residual.codec import BITS, ResidualCodec
from late_interaction.engines.local.quantization.residual.grid import Grid

__all__ = ["BITS", "Grid", "ResidualCodec"]
