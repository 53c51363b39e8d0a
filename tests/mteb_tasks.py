"""Tasks of MTEB's own classes, with data in memory. MTEB takes seconds to import, so `task` imports it."""

from __future__ import annotations

import numpy as np

WORDS = {
    "eng": [*("river", "city", "bridge", "market", "castle", "forest", "winter"), *("music", "glass", "paper", "law")],
    "deu": [*("Fluss", "Stadt", "Hafen", "Markt", "Burg", "Wald", "Winter"), *("Musik", "Glas", "Eisen", "Recht")],
}


def collection(subset, documents=30, queries=8):
    """Documents with titles, queries of words of theirs, and which document is relevant to which query."""
    rng = np.random.default_rng(len(WORDS[subset][0]))
    words = WORDS[subset]
    corpus = [
        {"id": f"{subset}-{n}", "title": rng.choice(words) if n % 3 else "", "text": " ".join(rng.choice(words, 8))}
        for n in range(documents)
    ]
    asked = [{"id": f"q{n}", "text": " ".join(rng.permutation(corpus[n]["text"].split())[:4])} for n in range(queries)]
    return corpus, asked, {f"q{n}": {f"{subset}-{n}": 1, f"{subset}-{n + queries}": 1} for n in range(queries)}


def task(subsets, *, name="TinyTask", category="t2t", modalities=("text",), candidates=None, rows=None):
    """A retrieval task in memory, or one of reranking if there are candidates."""
    from datasets import Dataset
    from mteb.abstasks.retrieval import AbsTaskRetrieval
    from mteb.abstasks.retrieval_dataset_loaders import RetrievalSplitData
    from mteb.abstasks.task_metadata import TaskMetadata

    class TinyTask(AbsTaskRetrieval):
        metadata = TaskMetadata(
            name=name,
            type="Retrieval" if candidates is None else "Reranking",
            category=category,
            modalities=list(modalities),
            description="A task in memory.",
            reference="https://github.com/embeddings-benchmark/mteb",
            dataset={"path": "NA", "revision": "NA"},
            eval_splits=["test"],
            eval_langs={subset: [f"{subset}-Latn"] for subset in subsets},
            main_score="ndcg_at_10",
            date=("2024-01-01", "2024-01-01"),
            domains=[],
            task_subtypes=[],
            license="cc-by-4.0",
            annotations_creators="derived",
            dialect=[],
            sample_creation="found",
            bibtex_citation="",
            prompt={"query": "Find what answers the query."},
        )

        def load_data(self, **_):
            self.data_loaded = True
            self.dataset = {}
            for subset in subsets:
                corpus, asked, relevant = rows or collection(subset)
                self.dataset[subset] = {
                    "test": RetrievalSplitData(
                        corpus=Dataset.from_list(corpus),
                        queries=Dataset.from_list(asked),
                        relevant_docs=relevant,
                        top_ranked=candidates,
                    )
                }

    return TinyTask()
