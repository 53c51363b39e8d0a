"""Judge retrieval on one's own data: test collections, measures with intervals, what systems cost, and advice."""

from late_interaction.evaluation.dataset import Dataset, JudgedQuery
from late_interaction.evaluation.evaluating import evaluate
from late_interaction.evaluation.judging import JudgmentError, judge_pools
from late_interaction.evaluation.measures import (
    MEASURES,
    Measure,
    mean_over_queries,
    ndcg,
    recall,
    reciprocal_rank,
    success,
)
from late_interaction.evaluation.reading.datasets import read_dataset
from late_interaction.evaluation.reading.queries import as_queries
from late_interaction.evaluation.reading.runs import read_run, write_run
from late_interaction.evaluation.reporting.report import Report
from late_interaction.evaluation.results import SystemResult
from late_interaction.evaluation.statistics import Interval, bootstrap, paired
from late_interaction.evaluation.synthetic import synthetic_dataset

__all__ = [
    "MEASURES",
    "Dataset",
    "Interval",
    "JudgedQuery",
    "JudgmentError",
    "Measure",
    "Report",
    "SystemResult",
    "as_queries",
    "bootstrap",
    "evaluate",
    "judge_pools",
    "mean_over_queries",
    "ndcg",
    "paired",
    "read_dataset",
    "read_run",
    "recall",
    "reciprocal_rank",
    "success",
    "synthetic_dataset",
    "write_run",
]
