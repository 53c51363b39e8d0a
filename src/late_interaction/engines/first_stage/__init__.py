"""Candidate generation for engines that score MaxSim but cannot find candidates for it.

There are two rankings, and each is a dot product that any vector database can index. They miss different documents, so
candidates come from both (`MEAN_SHARE`):

- mean vectors: `mean_vector` of a document, `query_mean` of a query;
- sparse vectors: `Centroids.document` and `Centroids.query`.

`Centroids` are trained once there are enough token vectors (`MIN_TRAINING_TOKENS`) and extended as an index grows
(`needs_extension`). Until then the mean vectors are used alone.
"""

from late_interaction.engines.first_stage.centroids import Centroids, SparseVector
from late_interaction.engines.first_stage.means import MEAN_SHARE, mean_vector, query_mean
from late_interaction.engines.first_stage.sampling import Sample
from late_interaction.engines.first_stage.training import (
    MIN_TRAINING_TOKENS,
    needs_extension,
    size_for,
    train,
    training_tokens,
)

__all__ = [
    "MEAN_SHARE",
    "MIN_TRAINING_TOKENS",
    "Centroids",
    "Sample",
    "SparseVector",
    "mean_vector",
    "needs_extension",
    "query_mean",
    "size_for",
    "train",
    "training_tokens",
]
