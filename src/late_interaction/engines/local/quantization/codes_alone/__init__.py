"""The codec without residuals: a token is the number of its centroid, and its vector is that centroid."""

from late_interaction.engines.local.quantization.codes_alone.codec import BITS, CodesAlone

__all__ = ["BITS", "CodesAlone"]
