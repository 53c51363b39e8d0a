from __future__ import annotations

import pytest
from llama_index.core.schema import TextNode

from late_interaction import Index
from late_interaction.llama_index import LateInteractionIndex


@pytest.fixture
def index(tmp_path, word_encoder):
    """An empty index of ours."""
    with Index.open(tmp_path / "index", encoder=word_encoder) as index:
        yield index


@pytest.fixture
def facts():
    """LlamaIndex's nodes; their metadata is not in the text that is encoded."""
    texts = {
        "nile": ("the nile is a river in africa", {"kind": "river", "length": 6650}),
        "amazon": ("the amazon is a river in america", {"kind": "river", "length": 6400}),
        "paris": ("paris is the capital of france", {"kind": "city"}),
        "berlin": ("berlin is the capital of germany", {"kind": "city"}),
    }
    return [
        TextNode(text=text, id_=name, metadata=metadata, excluded_embed_metadata_keys=["kind", "length"])
        for name, (text, metadata) in texts.items()
    ]


@pytest.fixture
def filled(index, facts):
    """LlamaIndex's index of `facts`."""
    return LateInteractionIndex(facts, index=index)
