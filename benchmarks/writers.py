"""How long a second thread's ``add`` of one document waits while another adds many: the median and the longest.

``python -m benchmarks.writers [--documents N]``. The encoder sleeps for each document, as a model on another device
does. Prints JSON, in milliseconds.
"""

from __future__ import annotations

import argparse
import json
import tempfile
import threading
import time
from statistics import median

from benchmarks.modes import WordVectors, documents
from late_interaction import Document, Index

_MODEL_SECONDS = 0.0003  # for each document


class SleepingEncoder(WordVectors):
    """Takes time, but not the interpreter's."""

    def encode_documents(self, texts):
        if len(texts) > 1:
            time.sleep(_MODEL_SECONDS * len(texts))
        return super().encode_documents(texts)


def measure(index, count):
    adding = threading.Thread(target=index.add, args=(documents(count, with_images=False),))
    start = time.perf_counter()
    adding.start()
    waits = []
    while adding.is_alive():
        begun = time.perf_counter()
        index.add([Document("w1 w2 w3", id=f"single {len(waits)}")])
        waits.append(1000 * (time.perf_counter() - begun))
        time.sleep(0.01)
    adding.join()
    return {
        f"add of {count}": round(1000 * (time.perf_counter() - start)),
        "adds of one meanwhile": len(waits),
        "median": round(median(waits), 1),
        "longest": round(max(waits), 1),
    }


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--documents", type=int, default=10_000)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder, Index.open(folder, encoder=SleepingEncoder()) as index:
        index.add(["w1 w2"])
        print(json.dumps(measure(index, arguments.documents), indent=2))
