"""Explanations of pages: the right patches, lit at the right places, for every family of page encoders."""

from __future__ import annotations

import base64
import io
import re

import numpy as np
import pytest
from PIL import Image

from late_interaction import Document, Index
from late_interaction.errors import ImageUnavailableError, InvalidRequestError, MissingEncoderError
from late_interaction.readers import read_paths
from tests.fakes import ColourEncoder, WordEncoder

WHITE = (255, 255, 255)


@pytest.fixture
def index(tmp_path, colour_encoder, report):
    with Index.open(tmp_path / "index", encoder=colour_encoder) as index:
        index.add(read_paths([report], modalities=["image"]))
        yield index


@pytest.fixture
def bars(index, report):
    """The id of the page with the red and the blue bar."""
    return f"{report.as_posix()}#page=2"


def lit(picture, page):
    """Where a heatmap differs from the page: a mask, (height, width)."""
    plain = page.resize(picture.size)
    return np.abs(np.asarray(picture, int) - np.asarray(plain, int)).max(axis=2) > 60


def centre(mask):
    """The middle of what is lit, as fractions from the left and from the top."""
    rows, columns = np.nonzero(mask)
    return columns.mean() / mask.shape[1], rows.mean() / mask.shape[0]


class TestMatches:
    def test_each_word_meets_the_patch_of_its_colour(self, index, bars):
        red, blue = index.explain("red blue", bars).spans
        assert (red.query_word, blue.query_word) == ("red", "blue")
        # The red bar is 100 to 200 of 595 points from the left and 642 to 742 of 842 from the top.
        for match, (left, right), (top, bottom) in (
            (red, (100 / 595, 200 / 595), (642 / 842, 742 / 842)),
            (blue, (400 / 595, 480 / 595), (92 / 842, 242 / 842)),
        ):
            assert match.similarity == pytest.approx(1, abs=1e-3)
            assert match.box[0] < right
            assert match.box[2] > left
            assert match.box[1] < bottom
            assert match.box[3] > top

    def test_the_score_is_that_of_the_search(self, index, bars):
        hit = index.search("red blue", 1)[0]
        assert hit.id == bars
        assert index.explain("red blue", bars).score == pytest.approx(hit.score, abs=1e-3)

    def test_values_for_apis(self, index, bars):
        first, _ = index.explain("red blue", bars).to_dicts()
        assert first == {"query_word": "red", "box": list(index.explain("red", bars).spans[0].box)} | {
            "similarity": pytest.approx(1, abs=1e-3)
        }

    def test_punctuation_meets_nothing(self, index, bars):
        assert [match.query_word for match in index.explain("red, blue!", bars).spans] == ["red", "blue"]

    def test_texts_and_pages_side_by_side(self, index, bars):
        index.add([Document("red is a colour", id="text")])
        found = index.explain_many("red", [bars, "text", "nowhere"])
        assert set(found) == {bars, "text"}
        assert found["text"].spans[0].document_word == "red"
        assert len(found[bars].spans[0].box) == 4


class TestHeatmap:
    def test_all_words_light_all_that_matches(self, index, bars):
        explanation = index.explain("red blue", bars)
        page = index.get([bars])[0].load_image()
        picture = explanation.heatmap()
        mask = lit(picture, page)
        height, width = mask.shape
        assert mask[int(0.82 * height), int(0.15 * width)]  # beside the red bar, in its patches
        assert not mask[int(0.5 * height), int(0.5 * width)]  # the empty middle
        assert 0.01 < mask.mean() < 0.25

    @pytest.mark.parametrize(("word", "place"), [("red", (0.25, 0.82)), ("blue", (0.74, 0.2))])
    def test_one_word_lights_its_own_place(self, index, bars, word, place):
        explanation = index.explain("red blue", bars)
        page = index.get([bars])[0].load_image()
        assert centre(lit(explanation.heatmap(word), page)) == pytest.approx(place, abs=0.08)

    def test_a_page_that_lies_on_its_side_is_lit_where_it_is_seen(self, index, report):
        page = f"{report.as_posix()}#page=3"
        # Turned by 90 degrees clockwise, what was at the lower left is at the upper left.
        across, down = centre(lit(index.explain("green", page).heatmap(), index.get([page])[0].load_image()))
        assert across < 0.2
        assert down < 0.2

    def test_the_page_keeps_its_shape(self, index, bars):
        width, height = index.explain("red", bars).heatmap().size
        assert width / height == pytest.approx(595 / 842, abs=0.01)
        assert max(width, height) == 1600

    def test_a_word_the_query_does_not_have(self, index, bars):
        with pytest.raises(InvalidRequestError, match=r"no word 'green'.*red, blue"):
            index.explain("red blue", bars).heatmap("green")

    def test_a_query_without_words_lights_nothing(self, index, bars):
        page = index.get([bars])[0].load_image()
        assert not lit(index.explain("!", bars).heatmap(), page).any()

    def test_a_text_has_none(self, index):
        index.add([Document("red is a colour", id="text")])
        with pytest.raises(InvalidRequestError, match="to_html"):
            index.explain("red", "text").heatmap()

    def test_a_page_that_is_gone_says_so(self, index, bars, report):
        explanation = index.explain("red", bars)
        report.unlink()
        with pytest.raises(ImageUnavailableError, match="does not exist"):
            explanation.heatmap()
        assert "the file does not exist" in explanation.to_html()

    def test_an_image_that_came_without_a_file(self, tmp_path, colour_encoder):
        picture = Image.new("RGB", (400, 200), WHITE)
        picture.paste((255, 0, 0), (300, 20, 380, 60))
        with Index.open(tmp_path / "pixels", encoder=colour_encoder) as index:
            (name,) = index.add([Document(image=picture)])
            explanation = index.explain("red", name)
            across, down = centre(lit(explanation.heatmap(), index.get([name])[0].load_image()))
        assert (across, down) == pytest.approx((0.85, 0.2), abs=0.1)


class TestHtml:
    def test_it_is_self_contained_and_escaped(self, index, bars):
        page = index.explain("red <b>blue</b>", bars).to_html()
        assert "<b>blue" not in page
        assert not re.search(r'src="(?!data:image/jpeg;base64,)', page)
        assert "http" not in page
        pictures = [Image.open(io.BytesIO(base64.b64decode(data))) for data in re.findall(r'base64,([^"]+)"', page)]
        assert len(pictures) == 1 + 3  # the page, and one for each of red, b, blue: the same word is one
        assert max(pictures[0].size) == 1600

    def test_notebooks_show_it(self, index, bars):
        explanation = index.explain("red", bars)
        assert explanation._repr_html_() == explanation.to_html()


class TestOtherEncoders:
    def test_pooled_vectors_are_explained_patch_by_patch(self, tmp_path, report):
        with Index.open(tmp_path / "pooled", encoder=ColourEncoder(), pooling=3) as index:
            index.add(read_paths([report], modalities=["image"]))
            name = f"{report.as_posix()}#page=2"
            assert len(index.engine.vectors([name])[name]) < 30
            assert len(index.explain("red", name).patches) == 65
            assert index.explain("red", name).spans[0].similarity == pytest.approx(1, abs=1e-3)

    def test_pooled_pages_that_are_gone_are_left_out_of_many(self, tmp_path, report):
        with Index.open(tmp_path / "pooled", encoder=ColourEncoder(), pooling=3) as index:
            first, *_ = index.add(read_paths([report], modalities=["image"]))
            index.add([Document("red is a colour", id="text")])
            report.unlink()
            assert set(index.explain_many("red", [first, "text"])) == {"text"}
            with pytest.raises(ImageUnavailableError, match="does not exist"):
                index.explain("red", first)

    def test_a_pooled_image_that_is_kept_as_a_thumbnail(self, tmp_path):
        from tests.page_checkpoints import colqwen2

        with Index.open(tmp_path / "index", encoder=colqwen2(tmp_path / "model", most=768), pooling=3) as index:
            (name,) = index.add([Document(image=Image.new("RGB", (3329, 1634), WHITE))])
            assert index.explain("rain", name).spans

    def test_an_encoder_without_patches(self, tmp_path, report):
        class Plain(ColourEncoder):
            @property
            def patch_boxes(self):
                raise AttributeError

        with Index.open(tmp_path / "plain", encoder=Plain()) as index:
            index.add(read_paths([report], modalities=["image"]))
            with pytest.raises(MissingEncoderError, match="patch_boxes"):
                index.explain("red", f"{report.as_posix()}#page=2")

    def test_an_encoder_whose_patches_have_changed(self, tmp_path, report):
        with Index.open(tmp_path / "index", encoder=ColourEncoder()) as index:
            index.add(read_paths([report], modalities=["image"]))
        with (
            Index.open(tmp_path / "index", encoder=ColourEncoder(rows=4)) as index,
            pytest.raises(MissingEncoderError, match=r"65 vectors, and the encoder makes 17 of it"),
        ):
            index.explain("red", f"{report.as_posix()}#page=2")

    @pytest.mark.parametrize(
        "family", ["colpali", "colqwen2", "colmodernvbert", "packaged_modernvbert", "packaged_qwen2"]
    )
    def test_every_family(self, tmp_path, report, family):
        from tests import page_checkpoints

        checkpoint = getattr(page_checkpoints, family)(tmp_path / family)
        with Index.open(tmp_path / "index", encoder=checkpoint) as index:
            names = index.add(read_paths([report], modalities=index.modalities))
        with Index.open(tmp_path / "index", read_only=True) as index:  # the encoder is the one it remembers
            hit = index.search("rain in spring", 1)[0]
            explanation = index.explain("rain in spring", hit.id)
            assert hit.id in names
            assert explanation.score == pytest.approx(hit.score, rel=0.02)
            assert [match.query_word for match in explanation.spans] == ["rain", "in", "spring"]
            page = hit.document.load_image()
            for word in explanation.words:
                heat = explanation.heat(word)
                if not heat.any():  # with random weights, a page matches no better than another
                    continue
                picture = np.asarray(explanation.heatmap(word), int)
                plain = np.asarray(page.resize((picture.shape[1], picture.shape[0])), int)
                change = np.abs(picture - plain).sum(axis=2)
                left, top, right, bottom = explanation.patches[heat.argmax()]
                rows = slice(int(top * len(change)), int(bottom * len(change)))
                columns = slice(int(left * change.shape[1]), int(right * change.shape[1]))
                assert change[rows, columns].mean() > change.mean()

    def test_one_index_of_texts_and_pages(self, tmp_path, report):
        from tests.page_checkpoints import packaged_modernvbert

        with Index.open(tmp_path / "index", encoder=packaged_modernvbert(tmp_path / "model")) as index:
            assert index.modalities == ("text", "image")
            index.add([*read_paths([report], modalities=["image"]), Document("rain in spring", id="text")])
            hits = index.search("rain in spring", 4)
            assert len(hits) == 4
            words = index.explain("rain in spring", "text").spans
            assert {span.query_word for span in words} == {"rain", "in", "spring"}  # byte by byte: each meets several
            assert len(index.explain("rain in spring", f"{report.as_posix()}#page=1").spans) == 3

    def test_an_encoder_for_text_explains_texts_as_before(self, tmp_path):
        with Index.open(tmp_path / "text", encoder=WordEncoder()) as index:
            index.add([Document("the nile", id="nile")])
            assert index.explain("nile", "nile").spans[0].document_word == "nile"
