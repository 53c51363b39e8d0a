"""Between LlamaIndex's nodes and our documents.

A node is encoded as its EMBED text and stored whole, so that it comes back as it was. Its plain text is the document's
text and its metadata the document's metadata, so filters and other frameworks see what the user gave; ``ref_doc_id``
is added, for filters and for deleting by source document.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from llama_index.core.schema import BaseNode, MetadataMode, NodeWithScore, TextNode
from llama_index.core.vector_stores.utils import metadata_dict_to_node, node_to_metadata_dict

from late_interaction.documents import Document, Hit
from late_interaction.errors import InvalidDocumentError

if TYPE_CHECKING:
    from late_interaction.explain import Explanation

__all__ = ["REF_DOC_ID", "candidate", "from_node", "hit_to_node", "to_node", "with_matches"]

REF_DOC_ID = "ref_doc_id"
MATCH_SPANS = "match_spans"
_CONTENT, _TYPE = "_node_content", "_node_type"  # the names LlamaIndex's own stores use


def from_node(node: BaseNode) -> Document:
    """The document that stands for a node.

    Raises:
        InvalidDocumentError: The node holds what JSON cannot.
    """
    try:
        json.dumps(node.metadata, default=str, allow_nan=False)  # pydantic would write NaN as null
        dumped = node_to_metadata_dict(node)
    except ValueError as error:  # pydantic's serialisation errors are of this kind
        raise InvalidDocumentError(f"The node {node.node_id!r} cannot be stored: {error}.") from None
    metadata = {**json.loads(dumped[_CONTENT])["metadata"], _CONTENT: dumped[_CONTENT], _TYPE: dumped[_TYPE]}
    if node.ref_doc_id is not None:
        metadata[REF_DOC_ID] = node.ref_doc_id
    text, encoded_text = _texts(node)
    return Document(text, id=node.node_id, metadata=metadata, encoded_text=encoded_text)


def candidate(node: BaseNode) -> Document:
    """The document that stands for a node in reranking, which needs no metadata: it may not be JSON."""
    text, encoded_text = _texts(node)
    return Document(text, id=node.node_id, encoded_text=encoded_text)


def _texts(node: BaseNode) -> tuple[str, str | None]:
    """The text of a node and, where it is another, the text that LlamaIndex wants encoded."""
    text, encoded_text = node.get_content(MetadataMode.NONE), node.get_content(MetadataMode.EMBED)
    return text, None if encoded_text == text else encoded_text


def to_node(document: Document) -> BaseNode:
    """The node a document was made from; a `TextNode` for a document that came another way."""
    if _CONTENT in document.metadata:
        return metadata_dict_to_node(dict(document.metadata))
    metadata = dict(document.metadata)
    # Its metadata was not encoded with it, so it is no part of what LlamaIndex would encode either.
    return TextNode(text=document.text, id_=document.id, metadata=metadata, excluded_embed_metadata_keys=list(metadata))


def with_matches(found: NodeWithScore, explanation: Explanation | None) -> NodeWithScore:
    """The same with the words that match in its metadata, where neither models nor encoders are shown them."""
    node, spans = found.node, [] if explanation is None else explanation.to_dicts()
    changed = {
        "metadata": {**node.metadata, MATCH_SPANS: spans},
        "excluded_llm_metadata_keys": [*node.excluded_llm_metadata_keys, MATCH_SPANS],
        "excluded_embed_metadata_keys": [*node.excluded_embed_metadata_keys, MATCH_SPANS],
    }
    return NodeWithScore(node=node.model_copy(update=changed), score=found.score)


def hit_to_node(hit: Hit) -> NodeWithScore:
    """The node of a hit, with its relevance in [0, 1], which is what LlamaIndex's cut-offs expect."""
    return NodeWithScore(node=to_node(hit.document), score=hit.relevance)
