"""Whether one threshold of relevance tells queries with an answer in an index from those without, on every encoder.

    python -m benchmarks.abstention FOLDER DOCUMENTS.jsonl.gz QUERIES.jsonl.gz [--cosines .91 .95] [--dim 128]

FOLDER is the output of `python -m benchmarks.data` for these files. The documents are split into two collections, each
of which has the answers of about half of the queries. So all queries are asked of both, and about half of them have no
answer there. There are two ways to split:

- "topics": by the sections of the documents. Queries without an answer are about other topics.
- "answers": at random. Only the answer itself is missing; documents much like it are there.

A query counts as answered if its best hit has at least a threshold of relevance. The threshold is chosen on one
collection at one mean cosine: the midpoint between the medians of queries with and without an answer, which varies
less than the best threshold does. It is applied to the other collection at another mean cosine. Balanced accuracy is
the mean of the shares of queries with and without an answer that are told right.

The second table has the median relevance of best hits, and by threshold the share of queries with an answer that still
have a hit, and of queries without one that have none.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from itertools import permutations
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from benchmarks.anisotropy import mean_cosine, mixed
from benchmarks.data import load, read_lines
from benchmarks.measure import record, save, table
from late_interaction.engines import LocalEngine
from late_interaction.retrieval.scores import LateRelevance

if TYPE_CHECKING:
    from benchmarks.data import Vectors

THRESHOLDS = (0.2, 0.4, 0.5, 0.6)


def main() -> None:
    """Measure all pairs of collections at different cosines."""
    options = _options()
    given = load(options.folder).reduced(options.dim)
    documents, queries = read_lines(options.documents)[: given.real], read_lines(options.queries)
    places = {document["id"]: at for at, document in enumerate(documents)}
    answers = np.array([places[query["relevant"]] for query in queries])
    splits = {"topics": _by_section(documents, answers), "answers": _at_random(len(documents), answers)}
    result, kept = [], []
    for name, side in splits.items():
        relevances = {}
        for cosine in [None, *options.cosines]:
            vectors = mixed(given, cosine)
            shown = round(mean_cosine(vectors.tokens), 2)
            for collection in (0, 1):
                print(f"… {name}, collection {collection}, mean cosine {shown}", file=sys.stderr, flush=True)
                best = _best_relevances(vectors, np.flatnonzero(side == collection), options.bits)
                relevances[collection, shown] = best, side[answers] == collection
        result += _rows(name, relevances)
        save(options.json, result)
        kept += [_kept(name, *key, *found) for key, found in relevances.items()]
    print(f"\n{table(result)}\n\n{table(kept)}")


def balanced_accuracy(relevances: np.ndarray, answered: np.ndarray, threshold: float) -> float:
    """Return the mean share of queries told right, (queries,) each, among those with and without an answer."""
    kept = relevances >= threshold
    return float((kept[answered].mean() + (~kept[~answered]).mean()) / 2)


def _rows(name: str, relevances: dict[tuple[int, float], tuple[np.ndarray, np.ndarray]]) -> list[dict]:
    rows = []
    for chosen, applied in permutations(relevances, 2):
        if chosen[0] == applied[0] or chosen[1] == applied[1]:
            continue
        threshold = _midpoint(*relevances[chosen])
        best = _best_threshold(*relevances[applied])
        rows.append(
            {
                "split": name,
                "chosen at": chosen[1],
                "applied to": applied[0],
                "at": applied[1],
                "threshold": threshold,
                "accuracy": balanced_accuracy(*relevances[applied], threshold),
                "best": balanced_accuracy(*relevances[applied], best),
                "its threshold": best,
            }
        )
    return rows


def _kept(name: str, collection: int, cosine: float, relevances: np.ndarray, answered: np.ndarray) -> dict:
    """Return the median best relevance, and what some thresholds do to queries with and without an answer."""
    row = {"split": name, "collection": collection, "cosine": cosine}
    row |= {"median": float(np.median(relevances[answered])), "unanswered": float(np.median(relevances[~answered]))}
    for threshold in THRESHOLDS:
        row[f"{threshold} hits"] = float((relevances[answered] >= threshold).mean())
        row[f"{threshold} empty"] = float((relevances[~answered] < threshold).mean())
    return row


def _midpoint(relevances: np.ndarray, answered: np.ndarray) -> float:
    return float(np.median(relevances[answered]) + np.median(relevances[~answered])) / 2


def _best_threshold(relevances: np.ndarray, answered: np.ndarray) -> float:
    return max(np.unique(relevances).tolist(), key=lambda each: balanced_accuracy(relevances, answered, each))


def _best_relevances(vectors: Vectors, chosen: np.ndarray, bits: int | None) -> np.ndarray:
    """Return the relevance of the best hit of each query among the chosen documents, (queries,)."""
    with (
        tempfile.TemporaryDirectory() as folder,
        LocalEngine.open(folder, dim=vectors.tokens.shape[1], bits=bits) as engine,
    ):
        engine.upsert(record(int(at), vectors.document(at)) for at in chosen)
        return np.array(
            [
                LateRelevance.of(query, engine.null_score(query))(engine.search(query, 1)[0].score)
                for query in vectors.queries
            ]
        )


def _by_section(documents: list[dict], answers: np.ndarray) -> np.ndarray:
    """Return the collection of each document, 0 or 1: whole sections, such that both have about as many answers."""
    sections = [document["metadata"]["section"].split("/")[-1] for document in documents]
    counts = dict.fromkeys(sorted(set(sections)), 0)
    for answer in answers:
        counts[sections[answer]] += 1
    sides, answered = {}, [0, 0]
    for section in sorted(counts, key=lambda name: -counts[name]):
        sides[section] = int(answered[1] < answered[0])
        answered[sides[section]] += counts[section]
    return np.array([sides[section] for section in sections])


def _at_random(documents: int, answers: np.ndarray) -> np.ndarray:
    """Return the collection of each document, 0 or 1; the answers go into both in turn."""
    side = np.random.default_rng(0).integers(0, 2, documents)
    side[answers] = np.arange(len(answers)) % 2
    return side


def _bits(text: str) -> int | None:
    return None if text == "none" else int(text)


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.abstention",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("folder", type=Path)
    parser.add_argument("documents", type=Path)
    parser.add_argument("queries", type=Path)
    parser.add_argument("--cosines", type=float, nargs="*", default=[0.91, 0.95], help="mean cosines besides the given")
    parser.add_argument("--dim", type=int, default=128, help="dimension to reduce the vectors to")
    parser.add_argument("--bits", type=_bits, default=4, help="bits per dimension; none keeps float16")
    parser.add_argument("--json", type=Path, metavar="OUT.json", help="also write the figures here")
    return parser.parse_args()


if __name__ == "__main__":
    main()
