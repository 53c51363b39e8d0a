"""Between LlamaIndex's nodes and our documents.

A node is encoded as its EMBED text and stored whole, so that it comes back as it was. Its plain text is the document's
text and its metadata the document's metadata, so filters and other frameworks see what the user gave; ``ref_doc_id``
is added, for filters and for deleting by source document. A node with an image is a page for encoders that read
images. Pages that came another way, from a PDF for example, become `ImageNode`s with the image in them.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from llama_index.core.schema import (
    BaseNode,
    ImageDocument,
    ImageNode,
    IndexNode,
    MetadataMode,
    Node,
    NodeWithScore,
    TextNode,
)
from llama_index.core.schema import Document as LlamaDocument
from llama_index.core.vector_stores.utils import metadata_dict_to_node, node_to_metadata_dict

from late_interaction.documents import Document, Hit
from late_interaction.errors import ImageUnavailableError, InvalidDocumentError
from late_interaction.images import PageImage
from late_interaction.images.pictures import from_base64, to_jpeg
from late_interaction.images.reference import PAGE_IMAGE, from_metadata, to_metadata

if TYPE_CHECKING:
    from collections.abc import Mapping

    from late_interaction.explanations import Explanation, PageExplanation

__all__ = [
    "REF_DOC_ID",
    "candidate",
    "from_node",
    "hit_to_node",
    "to_node",
    "with_hidden",
    "with_matches",
    "without_object",
]

REF_DOC_ID = "ref_doc_id"
MATCH_SPANS = "match_spans"
_IMAGE_ERROR = "image_error"
_CONTENT, _TYPE = "_node_content", "_node_type"  # the names LlamaIndex's own stores use
_GENERAL: dict[str, type[BaseNode]] = {kind.class_name(): kind for kind in (Node, LlamaDocument, ImageDocument)}
_ADDED = {REF_DOC_ID, _CONTENT, _TYPE}


def from_node(node: BaseNode, *, as_image: bool = False) -> Document:
    """The document that stands for a node.

    Args:
        node: The node.
        as_image: A node that has an image stands for that, as a page; for encoders that read images.

    Raises:
        InvalidDocumentError: The node holds what JSON cannot, or its image is an address or cannot be read.
    """
    try:
        json.dumps(node.metadata, default=str, allow_nan=False)  # pydantic would write NaN as null
        dumped = node_to_metadata_dict(node)
    except ValueError as error:  # pydantic's serialisation errors are of this kind
        raise InvalidDocumentError(f"The node {node.node_id!r} cannot be stored: {error}.") from None
    metadata = {**json.loads(dumped[_CONTENT])["metadata"], _CONTENT: dumped[_CONTENT], _TYPE: dumped[_TYPE]}
    if node.ref_doc_id is not None:
        metadata[REF_DOC_ID] = node.ref_doc_id
    return _document(node, metadata, as_image=as_image)


def candidate(node: BaseNode, *, as_image: bool = False) -> Document:
    """The document that stands for a node in reranking, which needs no metadata: it may not be JSON."""
    return _document(node, None, as_image=as_image)


def _document(node: BaseNode, metadata: dict[str, Any] | None, *, as_image: bool) -> Document:
    image = _image_of(node) if as_image else None
    text, encoded_text = _texts(node)
    if metadata is not None and image is None and not text.strip() and any(_image_fields(node)):  # never to be found
        raise InvalidDocumentError(
            f"The node {node.node_id!r} has nothing but an image that cannot be used: the encoder reads text alone, or "
            "it is an address, and nothing is fetched."
        )
    return Document(text, image=image, id=node.node_id, metadata=metadata, encoded_text=encoded_text)


def _image_of(node: BaseNode) -> PageImage | None:
    """The image of a node: what its metadata refers to, the pixels in it, or the file it names. Nothing is fetched."""
    data, path, _ = _image_fields(node)
    referred = from_metadata(node.metadata)
    try:
        if referred is not None:  # an index alone has the pixels of what came without a file, but for those in the node
            return referred.with_pixels(from_base64(data)) if data and referred.path is None else referred
        if data:
            return PageImage.from_pixels(from_base64(data))
        return PageImage.from_file(path) if path else None
    except ImageUnavailableError as error:
        raise InvalidDocumentError(f"The image of the node {node.node_id!r} cannot be read: {error}") from None


def _image_fields(node: BaseNode) -> tuple[str | None, str | None, str | None]:
    """The image of a node in base64, the path of its file, its address; each None if there is none."""
    if isinstance(node, ImageNode):
        return node.image, node.image_path, node.image_url
    resource = getattr(node, "image_resource", None)
    if resource is None:
        return None, None, None
    data = None if resource.data is None else resource.data.decode()
    return data, resource.path and str(resource.path), resource.url and str(resource.url)


def _texts(node: BaseNode) -> tuple[str, str | None]:
    """The text of a node and, where it is another, the text that LlamaIndex wants encoded."""
    text, encoded_text = node.get_content(MetadataMode.NONE), node.get_content(MetadataMode.EMBED)
    return text, None if encoded_text == text else encoded_text


def to_node(document: Document) -> BaseNode:
    """The node a document was made from; a `TextNode` for a document that came another way."""
    if _CONTENT in document.metadata:
        return _as_stored(_written_node(document.metadata), document)
    metadata = dict(document.metadata)
    # Its metadata was not encoded with it, so it is no part of what LlamaIndex would encode either.
    fields: dict[str, Any] = {"text": document.text, "id_": document.id, "excluded_embed_metadata_keys": list(metadata)}
    if document.image is None:
        return TextNode(metadata=metadata, **fields)
    metadata |= to_metadata(document.image)
    hidden = [PAGE_IMAGE, _IMAGE_ERROR]  # from language models, which are shown the image itself
    fields |= {"excluded_embed_metadata_keys": [*metadata, _IMAGE_ERROR], "excluded_llm_metadata_keys": hidden}
    try:
        image = to_jpeg(document.load_image())
    except ImageUnavailableError as error:  # the text is still there, and whoever wants the image is told
        return TextNode(metadata={**metadata, _IMAGE_ERROR: str(error)}, **fields)
    return ImageNode(image=image, image_mimetype="image/jpeg", metadata=metadata, **fields)


def _written_node(metadata: Mapping[str, Any]) -> BaseNode:
    """The node that was written into metadata; core's own function takes those of general kinds for texts."""
    kind = _GENERAL.get(str(metadata.get(_TYPE)))
    if kind is None:
        return metadata_dict_to_node(dict(metadata))
    node: BaseNode = kind.from_json(metadata[_CONTENT])
    return node


def _as_stored(node: BaseNode, document: Document) -> BaseNode:
    """The node with the id, text and metadata that are stored beside it, which another framework may have changed."""
    own = {key: value for key, value in node.metadata.items() if key in _ADDED}
    changed = {key: value for key, value in document.metadata.items() if key not in _ADDED}
    node.id_, node.metadata = document.id, {**changed, **own}
    if node.get_content(MetadataMode.NONE) != document.text:
        node.set_content(document.text)
    return node


def without_object(node: BaseNode) -> BaseNode:
    """The node without an object that cannot be stored, such as a query engine."""
    if isinstance(node, IndexNode) and node.obj is not None and not isinstance(node.obj, BaseNode):
        return node.model_copy(update={"obj": None})
    return node


def with_hidden(node: BaseNode, key: str, value: object) -> BaseNode:
    """A copy with something more in its metadata, which neither models nor encoders are shown."""
    changed = {
        "metadata": {**node.metadata, key: value},
        "excluded_llm_metadata_keys": [*node.excluded_llm_metadata_keys, key],
        "excluded_embed_metadata_keys": [*node.excluded_embed_metadata_keys, key],
    }
    return node.model_copy(update=changed)


def with_matches(found: NodeWithScore, explanation: Explanation | PageExplanation | None) -> NodeWithScore:
    """The same with the words that match in its metadata, where neither models nor encoders are shown them."""
    spans = [] if explanation is None else explanation.to_dicts()
    return NodeWithScore(node=with_hidden(found.node, MATCH_SPANS, spans), score=found.score)


def hit_to_node(hit: Hit) -> NodeWithScore:
    """The node of a hit, with its relevance in [0, 1], which is what LlamaIndex's cut-offs expect."""
    return NodeWithScore(node=to_node(hit.document), score=hit.relevance)
