"""Pooling and truncation, against the definitions written here."""

import copy

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.cluster.hierarchy import fcluster, linkage

from late_interaction.encoders import Encoder, ReducedEncoder, SpanEncoder, has_spans, reads_images, reads_text
from late_interaction.encoders.reduced import pool
from late_interaction.errors import InvalidRequestError, InvalidVectorsError


def unit(vectors):
    return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)


class Given:
    """An encoder of given vectors."""

    dim = 6
    fingerprint = {"model": "given"}  # noqa: RUF012
    source = "somewhere"

    def encode_queries(self, texts):
        return [unit(np.random.default_rng(len(text)).standard_normal((len(text), 6))) for text in texts]

    encode_documents = encode_queries


def test_leaves_queries_unpooled_and_pools_documents():
    encoder = ReducedEncoder(Given(), pooling=3)
    assert [len(vectors) for vectors in encoder.encode_queries(["abcdefg"])] == [7]
    assert [len(vectors) for vectors in encoder.encode_documents(["abcdefg", "a", "ab", "abc"])] == [3, 1, 1, 1]


def test_cuts_dimensions_and_normalises_again():
    encoder = ReducedEncoder(Given(), dim=4)
    (query,), (document,) = encoder.encode_queries(["abc"]), encoder.encode_documents(["abcd"])
    np.testing.assert_allclose(query, unit(Given().encode_queries(["abc"])[0][:, :4]), atol=1e-6)
    np.testing.assert_allclose(document, unit(Given().encode_queries(["abcd"])[0][:, :4]), atol=1e-6)
    assert encoder.dim == 4


def test_pooled_vectors_are_the_normalised_means_of_ward_clusters():
    vectors = unit(np.random.default_rng(0).standard_normal((40, 8)))
    clusters = fcluster(linkage(vectors, method="ward"), 20, criterion="maxclust")
    expected = np.array([unit(vectors[clusters == c].mean(0)[None])[0] for c in sorted(set(clusters))])
    pooled = pool(vectors, 2)
    assert pooled.shape == expected.shape
    assert np.abs((pooled @ expected.T).max(axis=1) - 1).max() < 1e-5


@given(tokens=st.integers(0, 50), factor=st.integers(1, 60), seed=st.integers(0, 5))
def test_pooling_keeps_enough_vectors_of_unit_length(tokens, factor, seed):
    vectors = unit(np.random.default_rng(seed).standard_normal((tokens, 5))) if tokens else np.zeros((0, 5))
    pooled = pool(vectors, factor)
    assert len(pooled) <= -(-tokens // factor)
    assert bool(len(pooled)) == bool(tokens)
    np.testing.assert_allclose(np.linalg.norm(pooled, axis=1), 1, atol=1e-5)


def test_equal_vectors_become_one():
    assert len(pool(np.ones((10, 3)) / np.sqrt(3), 2)) == 1


class GivenPages(Given):
    """An encoder that reads images as well: a vector for each number of a list, in place of an image."""

    modalities = frozenset({"image"})

    def encode_images(self, images):
        return [unit(np.random.default_rng(image).standard_normal((image, 6))) for image in images]

    def token_spans(self, text, task):
        return [None]


def test_images_are_pooled_and_cut_as_passages_are():
    images = [7, 1, 2, 20]
    encoder = ReducedEncoder(GivenPages(), pooling=3, dim=4)
    assert [vectors.shape for vectors in encoder.encode_images(images)] == [(3, 4), (1, 4), (1, 4), (7, 4)]
    unpooled = encoder.encode_images_unpooled(images)
    for vectors, cut, pooled in zip(
        GivenPages().encode_images(images), unpooled, encoder.encode_images(images), strict=True
    ):
        np.testing.assert_allclose(cut, unit(vectors[:, :4]), atol=1e-6)
        np.testing.assert_allclose(pooled, pool(cut, 3), atol=1e-6)


def test_reads_what_the_encoder_reads():
    encoder = ReducedEncoder(GivenPages(), pooling=2)
    assert (reads_images(encoder), reads_text(encoder), has_spans(encoder)) == (True, False, True)
    encoder = ReducedEncoder(Given(), pooling=2)
    assert (reads_images(encoder), reads_text(encoder), has_spans(encoder)) == (False, True, False)
    for name in ("encode_images", "encode_images_unpooled"):
        assert not hasattr(encoder, name)
        with pytest.raises(AttributeError, match="encode_images"):
            getattr(encoder, name)


def test_without_modalities_what_an_encoder_can_do_is_what_it_reads():
    class Both(GivenPages):
        modalities = None

    assert (reads_images(Both()), reads_text(Both())) == (True, True)
    assert (reads_images(Given()), reads_text(Given())) == (False, True)


def test_images_of_another_dimension_than_the_encoder_declares():
    class Liar(GivenPages):
        def encode_images(self, images):
            return [np.ones((3, 5), np.float32) for _ in images]

    with pytest.raises(InvalidVectorsError, match=r"5.*6"):
        ReducedEncoder(Liar(), pooling=2).encode_images([3])


def test_pages_of_a_model(page_case):
    from tests.encoders.pictures import noise

    encoder = ReducedEncoder(page_case.encoder, pooling=3, dim=8)
    [full] = page_case.encoder.encode_images([noise((90, 60))])
    [cut] = encoder.encode_images_unpooled([noise((90, 60))])
    [pooled] = encoder.encode_images([noise((90, 60))])
    np.testing.assert_allclose(cut, unit(full[:, :8]), atol=1e-5)
    np.testing.assert_allclose(pooled, pool(cut, 3), atol=1e-5)
    assert encoder.viewed_size(90, 60) == page_case.encoder.viewed_size(90, 60)
    assert len(encoder.patch_boxes((90, 60))) == len(cut)


def test_has_what_the_encoder_has():
    encoder = ReducedEncoder(Given(), pooling=2)
    assert isinstance(encoder, Encoder)
    assert not isinstance(encoder, SpanEncoder)
    assert encoder.source == "somewhere"
    assert encoder.fingerprint == {"model": "given", "pooling": 2, "dim": 6}
    assert copy.copy(encoder).pooling == 2


@pytest.mark.parametrize("settings", [{"pooling": 0}, {"pooling": 1.5}, {"pooling": True}, {"dim": 0}, {"dim": 7}])
def test_impossible_settings(settings):
    with pytest.raises(InvalidRequestError):
        ReducedEncoder(Given(), **settings)


@pytest.mark.parametrize("width", [5, 7])
@pytest.mark.parametrize("settings", [{"dim": 4}, {"pooling": 2}])
def test_an_encoder_that_gives_another_dimension_than_it_declares(width, settings):
    class Liar(Given):
        def encode_documents(self, texts):
            return [np.ones((3, width), np.float32) for _ in texts]

    with pytest.raises(InvalidVectorsError, match=f"{width}.*6"):
        ReducedEncoder(Liar(), **settings).encode_documents(["three tokens here"])
