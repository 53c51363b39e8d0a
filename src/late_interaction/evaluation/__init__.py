"""Judge retrieval on one's own data: test collections, measures, and their intervals over queries."""

from late_interaction.evaluation.dataset import Dataset, JudgedQuery
from late_interaction.evaluation.measures import (
    MEASURES,
    Measure,
    mean_over_queries,
    ndcg,
    recall,
    reciprocal_rank,
    success,
)
from late_interaction.evaluation.queries import as_queries
from late_interaction.evaluation.reading import read_dataset
from late_interaction.evaluation.statistics import Interval, bootstrap, paired

__all__ = [
    "MEASURES",
    "Dataset",
    "Interval",
    "JudgedQuery",
    "Measure",
    "as_queries",
    "bootstrap",
    "mean_over_queries",
    "ndcg",
    "paired",
    "read_dataset",
    "recall",
    "reciprocal_rank",
    "success",
]
