"""How many tokens a second does the offline encoder encode, compared with sentence-transformers on the same model?

    python -m benchmarks.encoding DOCUMENTS.jsonl.gz [--documents 1000] [--rounds 3] [--threads 1] [--json OUT.json]

Ours in float32 and bfloat16 with the batches it chooses; `MultiVectorEncoder.encode_document` of sentence-transformers
with each batch size, in float32 and under bfloat16 autocast. All in turns in one process; of each the least CPU and
wall time of all rounds. Then the cosine between our vectors of both precisions, token by token, and the time
of one query. Tokens are those that the model reads, without padding, before punctuation is left out.
"""

from __future__ import annotations

import argparse
import json
import time
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from benchmarks.data import read_lines
from late_interaction import load_encoder
from late_interaction.encoders.precision import multiplies_bfloat16

if TYPE_CHECKING:
    from collections.abc import Callable

BATCH_SIZES = (8, 16, 32, 64, 128)
QUERY = "how do I find files by their name on a debian system"
QUERY_RUNS = 100
DTYPES = ("float32", "bfloat16")


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("documents_file", type=Path, metavar="DOCUMENTS.jsonl.gz")
    parser.add_argument("--documents", type=int, default=1000, help="how many are encoded, the first ones")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--threads", type=int, default=1, help="of torch")
    parser.add_argument("--json", type=Path, metavar="OUT.json")
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    texts = [row["text"] for row in read_lines(arguments.documents_file)[: arguments.documents]]
    report = measure(texts, arguments.rounds)
    show(report)
    if arguments.json is not None:
        arguments.json.write_text(json.dumps(report, indent=2))


def measure(texts: list[str], rounds: int) -> dict[str, Any]:
    """Return all figures: seconds by what was run, tokens, cosines, milliseconds of a query."""
    encoders = {dtype: load_encoder("minilm", device="cpu", dtype=dtype) for dtype in DTYPES}
    model = load_encoder("minilm", device="cpu", dtype="float32")._model
    ways: dict[str, Callable[[], Any]] = {
        f"late-interaction, {dtype}": partial(encoder.encode_documents, texts) for dtype, encoder in encoders.items()
    }
    for size in BATCH_SIZES:
        for dtype in DTYPES:
            ways[f"sentence-transformers, {dtype}, batch {size}"] = partial(_by_library, model, texts, size, dtype)
    for encoder in encoders.values():
        encoder.encode_documents(texts[:8])  # kernels are compiled at the first use
    seconds = {name: {"cpu": float("inf"), "wall": float("inf")} for name in ways}
    for _ in range(rounds):
        for name, run in ways.items():
            for clock, taken in _timed(run)[0].items():
                seconds[name][clock] = min(seconds[name][clock], taken)
    cosines = _cosines(*(encoder.encode_documents(texts) for encoder in encoders.values()))
    return {
        "native bfloat16": multiplies_bfloat16(),
        "threads": torch.get_num_threads(),
        "documents": len(texts),
        "tokens": _tokens(model, texts),
        "seconds": seconds,
        "cosine": {"mean": float(cosines.mean()), "least": float(cosines.min())},
        "query ms": _query_times(encoders, model),
    }


def show(report: dict[str, Any]) -> None:
    """Print a table: tokens a second, and how many times the best of sentence-transformers in float32."""
    tokens = report["tokens"]
    rivals = [taken for name, taken in report["seconds"].items() if name.startswith("sentence-transformers, float32")]
    best = {clock: min(taken[clock] for taken in rivals) for clock in ("cpu", "wall")}
    print(f"{report['documents']:,} documents, {tokens:,} tokens, {report['threads']} threads of torch; ", end="")
    print(f"bfloat16 is {'native' if report['native bfloat16'] else 'not native'} on this processor")
    print(
        "\n| encoder | tokens / CPU s | tokens / s | times the best of sentence-transformers in float32, CPU / wall |"
    )
    print("|---|---|---|---|")
    for name, taken in report["seconds"].items():
        ratios = " / ".join(f"{best[clock] / taken[clock]:.2f}" for clock in ("cpu", "wall"))
        print(f"| {name} | {tokens / taken['cpu']:,.0f} | {tokens / taken['wall']:,.0f} | {ratios} |")
    cosine = report["cosine"]
    print(f"\ncosine of bfloat16 and float32, by token: mean {cosine['mean']:.6f}, least {cosine['least']:.5f}")
    print("one query, CPU ms: " + ", ".join(f"{name} {taken:.1f}" for name, taken in report["query ms"].items()))


def _by_library(model: Any, texts: list[str], size: int, dtype: str) -> Any:
    with torch.autocast("cpu", torch.bfloat16, enabled=dtype == "bfloat16"):
        return model.encode_document(texts, batch_size=size, convert_to_numpy=True, show_progress_bar=False)


def _query_times(encoders: dict[str, Any], model: Any) -> dict[str, float]:
    """Return the median CPU time of one query in milliseconds, by what encodes it, in turns."""
    library = partial(model.encode_query, [QUERY], convert_to_numpy=True, show_progress_bar=False)
    ways = {f"late-interaction, {dtype}": partial(each.encode_queries, [QUERY]) for dtype, each in encoders.items()}
    ways["sentence-transformers, float32"] = library
    taken = {name: [] for name in ways}
    for _ in range(QUERY_RUNS):
        for name, run in ways.items():
            taken[name].append(1000 * _timed(run)[0]["cpu"])
    return {name: float(np.median(values)) for name, values in taken.items()}


def _timed(run: Callable[[], Any]) -> tuple[dict[str, float], Any]:
    cpu, wall = time.process_time(), time.perf_counter()
    result = run()
    return {"cpu": time.process_time() - cpu, "wall": time.perf_counter() - wall}, result


def _cosines(left: list[np.ndarray], right: list[np.ndarray]) -> np.ndarray:
    return np.concatenate([(one * other).sum(axis=1) for one, other in zip(left, right, strict=True)])


def _tokens(model: Any, texts: list[str]) -> int:
    most = model[0].document_length
    ids = model.tokenizer([text.strip() for text in texts], truncation=False, padding=False, verbose=False)["input_ids"]
    return sum(min(len(tokens), most) for tokens in ids)


if __name__ == "__main__":
    main()
