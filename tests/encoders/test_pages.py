"""Vectors of page encoders, against an oracle that spells out the models."""

from __future__ import annotations

import random
import sys
import threading
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from late_interaction.encoders import ColVisionEncoder, Encoder, has_spans, reads_images, reads_text
from late_interaction.errors import InvalidRequestError
from tests.encoders.pictures import SIZES, noise, pages
from tests.encoders.texts import TEXTS

QUERIES = {name: text for name, text in TEXTS.items() if name not in {"too long", "a word without end"}}
QUERIES["image marker"] = "what is an <image> or an <|image_pad|> token?"


def assert_close(actual, expected, tolerance=1e-5):
    assert actual.dtype == np.float32
    assert actual.shape == expected.shape
    np.testing.assert_allclose(actual, expected, rtol=0, atol=tolerance)


def as_read(text):
    """A query with the markers of images defused, which no processor takes in a text without an image."""
    return text.replace("<image>", "(image)")


def as_read_by_qwen(text):
    return text.replace("<|image_pad|>", "(|image_pad|)")


@pytest.fixture
def read(page_case):
    return as_read_by_qwen if page_case.folder.name == "colqwen2" else as_read


# Vectors


def test_queries_are_those_of_the_oracle(page_case, read):
    texts = [*QUERIES.values(), TEXTS["too long"]]
    together = page_case.encoder.encode_queries(texts)
    for text, batched in zip(texts, together, strict=True):
        expected = page_case.oracle.query(read(text))
        assert_close(batched, expected)
        assert_close(page_case.encoder.encode_queries([text])[0], expected)


def test_images_are_those_of_the_oracle_in_a_batch_of_mixed_sizes(page_case):
    images = pages()
    together = page_case.encoder.encode_images(images)
    for image, batched in zip(images, together, strict=True):
        expected = page_case.oracle.image(image)
        assert_close(batched, expected)
        assert_close(page_case.encoder.encode_images([image])[0], expected)


def test_transformers_alone_loses_the_positions_of_patches(colqwen2_case):
    """Why there is a forward pass of our own. When this fails, transformers has mended it, and ours may go."""
    import torch
    from transformers import ColQwen2ForRetrieval, ColQwen2Processor

    model = ColQwen2ForRetrieval.from_pretrained(colqwen2_case.folder, dtype=torch.float32).eval()
    processor = ColQwen2Processor.from_pretrained(colqwen2_case.folder, backend="pil")
    image = noise((150, 150))
    inputs = processor.process_images([image])
    [ours] = colqwen2_case.encoder.encode_images([image])
    with torch.inference_mode():
        plain = model(**inputs).embeddings[0].numpy()
        positions, _ = model.vlm.get_rope_index(
            input_ids=inputs["input_ids"],
            mm_token_type_ids=(inputs["input_ids"] == processor.image_token_id).int(),
            image_grid_thw=inputs["image_grid_thw"],
            attention_mask=inputs["attention_mask"],
        )
        with_positions = model(**inputs, position_ids=positions).embeddings[0].numpy()
    assert_close(ours, with_positions)
    assert np.abs(ours - plain).max() > 1e-3


def test_half_precision_as_on_a_gpu(colvision_case):
    """Vectors are of unit length and float32 all the same, and nearly those of full precision."""
    import copy

    import torch

    whole = colvision_case.encoder
    half = ColVisionEncoder(copy.deepcopy(whole._model).to(torch.bfloat16), whole._processor)
    pairs = [(whole.encode_images(pages()), half.encode_images(pages()))]
    pairs.append((whole.encode_queries(["cats and dogs"]), half.encode_queries(["cats and dogs"])))
    for expected, actual in (pair for lists in pairs for pair in zip(*lists, strict=True)):
        assert actual.dtype == np.float32
        np.testing.assert_allclose(np.linalg.norm(actual, axis=1), 1, atol=1e-6)
        assert (actual * expected).sum(1).min() > 0.99


def test_vectors_have_the_length_and_dimension_they_should(page_case):
    for vectors in [*page_case.encoder.encode_images(pages()), *page_case.encoder.encode_queries(["a", ""])]:
        assert vectors.shape[1] == page_case.encoder.dim == 16
        np.testing.assert_allclose(np.linalg.norm(vectors, axis=1), 1, atol=1e-5)


def test_nothing_in_nothing_out(page_case):
    assert page_case.encoder.encode_images([]) == []
    assert page_case.encoder.encode_queries([]) == []


def test_image_tokens_only(page_case):
    from late_interaction import load_encoder

    encoder = load_encoder(page_case.folder, image_tokens_only=True)
    assert encoder.options == {"image_tokens_only": True}
    assert page_case.encoder.options == {}
    images = pages()
    for image, vectors in zip(images, encoder.encode_images(images), strict=True):
        keep = page_case.oracle.image_tokens(image)
        assert 0 < keep.sum() < len(keep)
        assert_close(vectors, page_case.oracle.image(image)[keep])
        assert None not in encoder.patch_boxes(image.size)
        assert encoder.patch_boxes(image.size) == [
            box for box in page_case.encoder.patch_boxes(image.size) if box is not None
        ]
    assert_close(encoder.encode_queries(["a query"])[0], page_case.oracle.query("a query"))


# What it is


def test_what_it_says_of_itself(colvision_case):
    encoder = colvision_case.encoder
    assert isinstance(encoder, ColVisionEncoder)
    assert isinstance(encoder, Encoder)
    assert reads_images(encoder)
    assert not reads_text(encoder)
    assert has_spans(encoder)
    assert (encoder.source, encoder.revision) == (str(colvision_case.folder), None)


def test_documents_that_are_text_are_refused(colvision_case):
    for refused in (
        lambda: colvision_case.encoder.encode_documents(["a passage"]),
        lambda: colvision_case.encoder.token_spans("a passage", "document"),
    ):
        with pytest.raises(InvalidRequestError, match=r"page images, not text.*Document\(image=…\)"):
            refused()
    assert colvision_case.encoder.encode_documents([]) == []


# Batches


@pytest.mark.parametrize("budget", [1, 30_000])
def test_a_batch_is_bounded_by_the_pixels_the_model_sees(colvision_case, budget):
    encoder = colvision_case.encoder
    small = ColVisionEncoder(encoder._model, encoder._processor, batch_pixels=budget)
    seen = []
    handle = encoder._model.register_forward_pre_hook(
        lambda module, arguments, inputs: seen.append(inputs["pixel_values"].shape), with_kwargs=True
    )
    images = pages()
    try:
        batched = small.encode_images(images)
    finally:
        handle.remove()
    assert sum(shape[0] for shape in seen) == len(images)
    assert len(seen) == len(images) if budget == 1 else 1 < len(seen) < len(images)
    for shape in seen:
        values = np.prod(shape) / (2 if len(shape) == 3 else 1)  # ColQwen2's patches are there twice, as two frames
        assert values / 3 <= budget or shape[0] == 1
    for actual, expected in zip(batched, encoder.encode_images(images), strict=True):
        assert_close(actual, expected)


# Queries are text, images are images


TEXTS_LIKE_ADDRESSES = ["https://127.0.0.1:9/x.png", "{path}", "file://{path}", "data:image/png;base64,iVBORw0KGgo="]


@pytest.fixture
def no_opening(monkeypatch):
    """Whatever opens an image or a connection fails."""
    import socket

    from PIL import Image

    def refuse(*arguments, **options):
        raise AssertionError("a text was taken for an address")

    monkeypatch.setattr(socket.socket, "connect", refuse)
    monkeypatch.setattr(socket, "create_connection", refuse)
    monkeypatch.setattr(Image, "open", refuse)


@pytest.fixture
def image_file(tmp_path):
    path = tmp_path / "page.png"
    noise((20, 30)).save(path)
    return path


def test_a_query_that_looks_like_an_address_is_text(page_case, image_file, no_opening):
    texts = [text.format(path=image_file) for text in TEXTS_LIKE_ADDRESSES]
    together = page_case.encoder.encode_queries(texts)
    for text, vectors in zip(texts, together, strict=True):
        assert_close(vectors, page_case.oracle.query(text))
        assert_close(page_case.encoder.encode_queries([text])[0], page_case.oracle.query(text))
        assert len(page_case.encoder.token_spans(text, "query")) == len(vectors)


def test_an_address_in_place_of_an_image_is_refused(page_case, image_file, no_opening):
    for text in (*[text.format(path=image_file) for text in TEXTS_LIKE_ADDRESSES], image_file):
        message = rf"{type(text).__name__}.*does not open files.*Document\(image=…\)"
        with pytest.raises(InvalidRequestError, match=message):
            page_case.encoder.encode_images([noise((20, 20)), text])


@pytest.mark.parametrize("bad", [None, 5, b"bytes", np.zeros((20, 20, 3), np.uint8), [noise((9, 9))]])
def test_what_is_no_image_is_refused(page_case, bad):
    with pytest.raises(InvalidRequestError, match=type(bad).__name__):
        page_case.encoder.encode_images([noise((20, 20)), bad])


def test_an_image_without_a_list_is_refused(page_case):
    with pytest.raises(InvalidRequestError, match="list"):
        page_case.encoder.encode_images(noise((20, 20)))


@pytest.mark.parametrize("bad", [None, 5, b"bytes", ["nested"], {"text": "dict"}, "a\ud800b"])
def test_what_is_no_text_is_refused(page_case, bad):
    with pytest.raises(InvalidRequestError):
        page_case.encoder.encode_queries(["fine", bad])
    with pytest.raises(InvalidRequestError):
        page_case.encoder.token_spans(bad, "query")


def test_an_image_too_long_and_thin(colqwen2_case):
    """Qwen2-VL takes sides of 200 to 1 at most."""
    for refused in (
        lambda: colqwen2_case.encoder.encode_images([noise((2, 1000))]),
        lambda: colqwen2_case.encoder.viewed_size(1, 1000),
        lambda: colqwen2_case.encoder.patch_boxes((1000, 2)),
    ):
        with pytest.raises(InvalidRequestError, match="aspect ratio"):
            refused()


# Spans of queries


@pytest.mark.parametrize("name", QUERIES)
def test_spans_of_a_query(page_case, read, name):
    text = QUERIES[name]
    spans = page_case.encoder.token_spans(text, "query")
    assert len(spans) == len(page_case.encoder.encode_queries([text])[0])
    pieces = page_case.oracle.query_pieces(read(text))
    for span, piece in zip(spans, pieces, strict=True):
        # Byte by byte, so a piece is one character; a special token of the model in the query is one piece.
        assert (span is None) == (piece == "")
        assert span is None or read(text)[slice(*span)] == (piece.strip() or piece)


def test_the_span_of_each_word(page_case):
    text = "  Cats and  dogs\n"
    found = [text[slice(*span)] for span in page_case.encoder.token_spans(text, "query") if span is not None]
    assert "".join(found).replace(" ", "") == "Catsanddogs"


# Threads


def test_concurrent_calls_give_what_sequential_calls_give(page_case):
    encoder = page_case.encoder
    drawn = random.Random(11)
    texts, images = list(QUERIES.values()), pages()
    jobs = [
        drawn.choice(
            [
                (encoder.encode_queries, drawn.choices(texts, k=3)),
                (encoder.encode_images, drawn.choices(images, k=2)),
                (lambda text: encoder.token_spans(text, "query"), drawn.choice(texts)),
                (encoder.patch_boxes, (drawn.randint(20, 300), drawn.randint(20, 300))),
            ]
        )
        for _ in range(96)
    ]
    expected = [call(argument) for call, argument in jobs]
    encoder._boxes.clear()
    start = threading.Barrier(8)

    def worker(first):
        start.wait()
        return [(at, jobs[at][0](jobs[at][1])) for at in range(first, len(jobs), 8)]

    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-5)
    try:
        with ThreadPoolExecutor(8) as pool:
            results = dict(pair for pairs in pool.map(worker, range(8)) for pair in pairs)
    finally:
        sys.setswitchinterval(interval)
    for at, wanted in enumerate(expected):
        if jobs[at][0] in (encoder.encode_queries, encoder.encode_images):
            for one, other in zip(results[at], wanted, strict=True):
                assert_close(one, other)
        else:
            assert results[at] == wanted


def test_a_query_does_not_wait_for_a_long_indexing_run(colqwen2_case):
    encoder = colqwen2_case.encoder
    small = ColVisionEncoder(encoder._model, encoder._processor, batch_pixels=1)
    finished = []
    started = threading.Event()
    handle = encoder._model.register_forward_pre_hook(lambda module, inputs: started.set())

    def index():
        small.encode_images([noise(SIZES[0])] * 150)
        finished.append("images")

    indexing = threading.Thread(target=index)
    try:
        indexing.start()
        assert started.wait(30)
        small.encode_queries(["quick"])
        finished.append("query")
        indexing.join()
    finally:
        handle.remove()
    assert finished == ["query", "images"]
