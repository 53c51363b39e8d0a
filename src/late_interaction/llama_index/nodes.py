"""Between LlamaIndex's nodes and our documents.

A node is encoded as its EMBED text and stored whole, so that it comes back as it was. Its plain text is the document's
text and its metadata the document's metadata, so filters and other frameworks see what the user gave; ``ref_doc_id``
is added, for filters and for deleting by source document. A node with an image is a page for encoders that read
images. Pages that came another way, from a PDF for example, become `PageNode`s.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

from llama_index.core.schema import BaseNode, ImageDocument, ImageNode, IndexNode, MetadataMode, Node, TextNode
from llama_index.core.schema import Document as LlamaDocument
from llama_index.core.vector_stores.utils import metadata_dict_to_node, node_to_metadata_dict

from late_interaction.adapters.arguments import takes_images
from late_interaction.adapters.documents import as_candidate
from late_interaction.adapters.pages import IMAGE_ERROR, page_image, problem_with
from late_interaction.documents import Document
from late_interaction.errors import InvalidDocumentError, InvalidRequestError
from late_interaction.images.reference import PAGE_IMAGE, to_metadata
from late_interaction.llama_index.pages import PageNode, PageWithoutImage
from late_interaction.validation import is_invisible, plain_json

if TYPE_CHECKING:
    from llama_index.core.schema import RelatedNodeType

    from late_interaction.images import PageImage
    from late_interaction.index import Index

__all__ = ["REF_DOC_ID", "check_nodes", "from_node", "from_nodes", "to_node", "with_hidden", "written_node"]

REF_DOC_ID = "ref_doc_id"
_CONTENT, _TYPE = "_node_content", "_node_type"  # the names LlamaIndex's own stores use
_GENERAL: dict[str, type[BaseNode]] = {kind.class_name(): kind for kind in (Node, LlamaDocument, ImageDocument)}
_ADDED = {REF_DOC_ID, _CONTENT, _TYPE}


def from_nodes(nodes: Iterable[BaseNode], index: Index) -> list[Document]:
    """Return the documents that stand for nodes in an index.

    Raises:
        InvalidRequestError: Something else than a list of nodes is given.
        InvalidDocumentError: A node cannot be stored; see `from_node`.
    """
    as_image = takes_images(index)
    return [from_node(node, as_image=as_image) for node in check_nodes(nodes)]


def check_nodes(given: object, *, kind: str = "node", example: str = "TextNode(text=…)") -> list[Any]:
    """Return a list of nodes, or of LlamaIndex's documents, which are nodes, too.

    Args:
        given: The nodes.
        kind: How to name one in errors.
        example: How to make one.

    Raises:
        InvalidRequestError: It is no list, or has something else in it.
    """
    if isinstance(given, (BaseNode, str)) or not isinstance(given, Iterable):
        raise InvalidRequestError(f"A list of {kind}s is needed, got {type(given).__name__}: pass `[{kind}]`.")
    nodes = list(given)
    for node in nodes:
        if not isinstance(node, BaseNode):
            raise InvalidRequestError(f"Only {kind}s can be added, such as `{example}`, not {node!r:.80}.")
    return nodes


def from_node(node: BaseNode, *, as_image: bool = False, keep_metadata: bool = True) -> Document:
    """Return the document that stands for a node.

    Args:
        node: The node.
        as_image: Encode a node that has an image as that, as a page; for encoders that read images.
        keep_metadata: Store the metadata and the whole node. Without it, the node is only encoded (see `as_candidate`).

    Raises:
        InvalidDocumentError: The node holds what JSON cannot, or its image is an address or cannot be read.
    """
    text, encoded_text = node.get_content(MetadataMode.NONE), node.get_content(MetadataMode.EMBED)
    other = None if encoded_text == text else encoded_text
    if not keep_metadata:
        return as_candidate(text, other, id=node.node_id, image=lambda: _image(node) if as_image else None)
    metadata = _metadata_to_store(node)
    image = _image(node) if as_image else None
    if image is None and is_invisible(text) and any(_image_fields(node)):  # never to be found
        raise InvalidDocumentError(
            f"The node {node.node_id!r} has nothing but an image that cannot be used: the encoder reads text alone, or "
            "it is an address, and nothing is fetched."
        )
    return Document(text, image=image, id=node.node_id, metadata=metadata, encoded_text=other)


def _metadata_to_store(node: BaseNode) -> dict[str, Any]:
    if isinstance(node, IndexNode) and node.obj is not None and not isinstance(node.obj, BaseNode):
        node = node.model_copy(update={"obj": None})  # such as a query engine, which cannot be stored
    try:
        metadata = plain_json(node.metadata, "metadata")
        # Of other nodes, too: a source document has the same values as its nodes.
        others = {kind: _with_plain_metadata(other) for kind, other in node.relationships.items()}
        dumped = node_to_metadata_dict(node.model_copy(update={"metadata": metadata, "relationships": others}))
    except ValueError as error:  # pydantic's serialization errors are of this kind
        raise InvalidDocumentError(f"The node {node.node_id!r} cannot be stored: {str(error).rstrip('.')}.") from None
    source = {} if node.ref_doc_id is None else {REF_DOC_ID: node.ref_doc_id}
    return {**metadata, _CONTENT: dumped[_CONTENT], _TYPE: dumped[_TYPE], **source}


def _with_plain_metadata(other: RelatedNodeType) -> RelatedNodeType:
    if isinstance(other, list):
        return [one.model_copy(update={"metadata": plain_json(one.metadata, "metadata")}) for one in other]
    return other.model_copy(update={"metadata": plain_json(other.metadata, "metadata")})


def _image(node: BaseNode) -> PageImage | None:
    if isinstance(node, PageNode) and node.page is not None:
        return node.page
    data, path, _ = _image_fields(node)
    return page_image(f"the node {node.node_id!r}", node.metadata, data=data, path=path)


def _image_fields(node: BaseNode) -> tuple[str | None, str | None, str | None]:
    """Return the image of a node in base64, the path of its file and its address; None for each that is missing."""
    if isinstance(node, ImageNode):
        return node.image, node.image_path, node.image_url
    resource = getattr(node, "image_resource", None)
    if resource is None:
        return None, None, None
    data = None if resource.data is None else resource.data.decode()
    return data, resource.path and str(resource.path), resource.url and str(resource.url)


def to_node(document: Document) -> BaseNode:
    """Return the node a document was made from; a `TextNode` or `PageNode` for a document that came another way."""
    if node := written_node(document.metadata):
        node.id_ = document.id
        if node.get_content(MetadataMode.NONE) != document.text:  # another framework has changed it
            node.set_content(document.text)
        return node
    metadata = dict(document.metadata)
    # Its metadata was not encoded with it, so it is no part of what LlamaIndex would encode either.
    fields: dict[str, Any] = {"text": document.text, "id_": document.id, "excluded_embed_metadata_keys": list(metadata)}
    if document.image is None:
        return TextNode(metadata=metadata, **fields)
    metadata |= to_metadata(document.image)
    hidden = [PAGE_IMAGE, IMAGE_ERROR]  # from language models, which are shown the image itself
    fields |= {"excluded_embed_metadata_keys": [*metadata, IMAGE_ERROR], "excluded_llm_metadata_keys": hidden}
    if problem := problem_with(document.image):  # the text is still useful, and the metadata says why there is no image
        found = {**metadata, IMAGE_ERROR: problem}
        return PageWithoutImage(metadata=found, **fields)  # type: ignore[call-arg]  # its alias is for old data
    return PageNode.of(document.image, image_mimetype="image/jpeg", metadata=metadata, **fields)


def written_node(metadata: Mapping[str, Any]) -> BaseNode | None:
    """Return the node that was written into metadata, or None. Metadata beside it, which may have changed, is its."""
    if _CONTENT not in metadata:
        return None
    kind = _GENERAL.get(str(metadata.get(_TYPE)))  # core's own function takes these for texts
    node: BaseNode = metadata_dict_to_node(dict(metadata)) if kind is None else kind.from_json(metadata[_CONTENT])
    own = {key: value for key, value in node.metadata.items() if key in _ADDED}
    node.metadata = {**{key: value for key, value in metadata.items() if key not in _ADDED}, **own}
    return node


def with_hidden(node: BaseNode, key: str, value: object) -> BaseNode:
    """Return a copy with one more entry of metadata, which neither models nor encoders are shown."""
    changed = {
        "metadata": {**node.metadata, key: value},
        "excluded_llm_metadata_keys": [*node.excluded_llm_metadata_keys, key],
        "excluded_embed_metadata_keys": [*node.excluded_embed_metadata_keys, key],
    }
    return node.model_copy(update=changed)
