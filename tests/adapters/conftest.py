from __future__ import annotations

import pytest

from late_interaction import Document, Index
from tests.adapters.frameworks import FRAMEWORKS

TEXTS = {
    "nile": "the nile is a river in africa",
    "amazon": "the amazon is a river in america",
    "paris": "paris is the capital of france",
    "berlin": "berlin is the capital of germany",
}


@pytest.fixture(params=FRAMEWORKS, ids=lambda framework: framework.__name__)
def framework(request):
    """LangChain's classes, and then LlamaIndex's."""
    return request.param


@pytest.fixture
def index(tmp_path, word_encoder):
    """Four documents."""
    with Index.open(tmp_path / "index", encoder=word_encoder) as index:
        index.add(Document(text, id=name) for name, text in TEXTS.items())
        yield index
