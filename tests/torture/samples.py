"""Two small indexes that have a bit of everything, one closed and one whose writer was killed.

``python -m tests.torture.samples FOLDER`` makes ``closed`` and ``killed`` in it and dies while it has the latter open,
so that SQLite's log beside the catalog holds its last commits.
"""

from __future__ import annotations

import os
import signal
import sys
from pathlib import Path

from PIL import Image

from late_interaction import Document, Index
from tests.engines.helpers import small_thresholds
from tests.fakes import ColourEncoder

_TEXTS = [
    "Take {n} mg of aspirin daily, running water helps number{n}",
    "Zürich résumé naïve façade Straße number{n}",
    "東京 は 日本 の 首都 番号{n} です",
    "पेरिस फ्रांस की राजधानी है संख्या{n}",
    "القاهرة عاصمة مصر رقم{n}",
    "Река Волга номер{n} течёт в Каспий 🚢",
    "One two three four five six seven eight nine ten eleven twelve number{n}",
]
SEEN_TEXT = "title of the passage"


def encoder():
    """The encoder of these indexes, which reads text and pages."""
    return ColourEncoder(dim=16, rows=2)


def document(n):
    """The document of a number."""
    image = None
    if n % 20 == 7:
        image = Image.new("RGB", (24, 24), ("red", "green", "blue")[n // 20])
        image.paste("yellow", (0, 0, 12, 12))
    text = _TEXTS[n % len(_TEXTS)].format(n=n)
    return Document(
        text,
        id=f"d{n}",
        image=image,
        encoded_text=f"{SEEN_TEXT} {text}" if n % 9 == 4 else None,
        metadata={
            "n": n,
            "lang": ("en", "de", "ja", "hi", "ar", "ru", "en")[n % 7],
            "price": n * 1.5,
            "flag": n % 2 == 0,
            "tags": ["all", f"t{n % 5}", n % 3],
            "deep": {"x": {"y": n % 4}, "list": [{"z": f"z{n % 6}"}]},
            **({"rare": None} if n % 8 == 0 else {}),
        },
    )


def documents(numbers):
    return [document(n) for n in numbers]


COUNT = 60
DELETED = ("d3", "d31", "d44")


def _fill(path, numbers, deleted):
    with Index.open(path, encoder=encoder()) as index:
        index.add(documents(numbers))
        index.delete(deleted)


def make(folder):
    """Make both indexes, of the same documents; never returns."""
    with small_thresholds(250, 10**6):
        _fill(folder / "closed", range(40), DELETED[:2])
        _fill(folder / "closed", range(40, 50), DELETED[2:])
        _fill(folder / "closed", range(50, COUNT), ["d3"])
        _fill(folder / "killed", range(40), DELETED[:1])
        index = Index.open(folder / "killed", encoder=encoder())
        index.add(documents(range(40, 50)))
        index.delete(DELETED[1:])
        index.add(documents(range(50, 55)))
        index.add(documents(range(55, COUNT)))
        assert index.info()["centroids"], "nothing is compressed"
        assert index.info()["exact_tokens"], "nothing is exact"
        os.kill(os.getpid(), signal.SIGKILL)


if __name__ == "__main__":
    make(Path(sys.argv[1]))
