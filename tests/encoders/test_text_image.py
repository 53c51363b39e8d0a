"""Models that sentence-transformers packages: text and images with one encoder."""

from __future__ import annotations

import numpy as np
import pytest

from late_interaction import load_encoder
from late_interaction.encoders import Encoder, TextImageEncoder, has_spans, reads_images, reads_text
from late_interaction.errors import InvalidRequestError
from tests.encoders.pictures import noise, pages
from tests.page_checkpoints import packaged_modernvbert


def test_what_it_says_of_itself(packaged_case):
    encoder = packaged_case.encoder
    assert isinstance(encoder, Encoder)
    assert reads_images(encoder)
    assert reads_text(encoder)
    assert has_spans(encoder)
    assert encoder.modalities == {"text", "image"}


def test_passages_are_those_of_the_oracle(packaged_case):
    texts = ["a passage of text", "", "  padded ", "https://127.0.0.1:9/x.png", "much longer " * 20]
    for text, vectors in zip(texts, packaged_case.encoder.encode_documents(texts), strict=True):
        np.testing.assert_allclose(vectors, packaged_case.oracle.document(text), atol=1e-5)
    [marked] = packaged_case.encoder.encode_documents(["an <image> in it"])
    np.testing.assert_allclose(marked, packaged_case.oracle.document("an (image) in it"), atol=1e-5)


def test_spans_of_a_passage(packaged_case):
    """The template puts other words in front of a passage than of a query. A token is a character."""
    text = " Cats, <image> and dogs"
    characters = [(at, at + 1) for at in range(1, len(text))]
    [vectors] = packaged_case.encoder.encode_documents([text])
    spans = packaged_case.encoder.token_spans(text, "document")
    assert spans == [None] * (1 + len("Passage: ")) + characters
    assert len(spans) == len(vectors)
    query = packaged_case.encoder.token_spans(text, "query")
    assert query == [None] * (1 + len("Query: ")) + characters + [None] * 10


def test_a_mask_that_keeps_image_tokens_alone(tmp_path, packaged_case):
    encoder = load_encoder(packaged_modernvbert(tmp_path / "masked", only_images=True))
    images = pages()
    for image, vectors in zip(images, encoder.encode_images(images), strict=True):
        keep = packaged_case.oracle.image_tokens(image)
        np.testing.assert_allclose(vectors, packaged_case.oracle.image(image)[keep], atol=1e-5)
        boxes = encoder.patch_boxes(image.size)
        assert boxes == [box for box in packaged_case.encoder.patch_boxes(image.size) if box is not None]


def test_a_model_that_pools_tokens(packaged_case):
    from sentence_transformers import MultiVectorEncoder
    from sentence_transformers.multi_vector_encoder.modules import HierarchicalTokenPooling

    model = MultiVectorEncoder(str(packaged_case.folder))
    model.append(HierarchicalTokenPooling(pool_factor=2))
    encoder = TextImageEncoder(model)
    [vectors] = encoder.encode_images([noise((60, 40))])
    assert len(vectors) < len(packaged_case.encoder.encode_images([noise((60, 40))])[0])
    assert encoder.patch_boxes((60, 40)) == [None] * len(vectors)
    with pytest.raises(InvalidRequestError, match="pools tokens"):
        TextImageEncoder(model, image_tokens_only=True)


def test_batches_of_images_are_bounded_by_pixels(packaged_case):
    small = TextImageEncoder(packaged_case.encoder._model, batch_pixels=30_000)
    seen = []
    handle = small._model[0].register_forward_pre_hook(
        lambda module, arguments: seen.append(arguments[0]["pixel_values"].shape)
    )
    images = pages()
    try:
        batched = small.encode_images(images)
    finally:
        handle.remove()
    assert sum(shape[0] for shape in seen) == len(images)
    assert 1 < len(seen) < len(images)
    assert all(np.prod(shape) / 3 <= 30_000 or shape[0] == 1 for shape in seen)
    for image, vectors in zip(images, batched, strict=True):
        np.testing.assert_allclose(vectors, packaged_case.oracle.image(image), atol=1e-5)
