"""What of a page stands out for a query: few patches, the right ones, as colors, as boxes and as crops."""

from __future__ import annotations

import json

import numpy as np
import pytest
from PIL import Image

from late_interaction import Document, Index
from late_interaction.errors import ImageUnavailableError, InvalidRequestError
from late_interaction.explanations import PageRegion
from late_interaction.explanations.regions import adjacent_groups
from late_interaction.readers import read_paths
from tests.fakes import ColourEncoder, WordEncoder
from tests.printed import ANSWERS, PrintedEncoder, words_on, write_printed

MAX_LIT = 0.10  # of the patches of a page


@pytest.fixture(params=["words", pytest.param("minilm", marks=pytest.mark.slow)], scope="module")
def printed(request, tmp_path_factory):
    """An index of the printed pages: the PDF, the index, the ids by name, and whether the encoder knows meanings."""
    folder = tmp_path_factory.mktemp("printed")
    path = write_printed(folder / "printed.pdf")
    texts = WordEncoder(dim=64) if request.param == "words" else request.getfixturevalue("minilm")
    with Index.open(folder / "index", encoder=PrintedEncoder(texts, path)) as index:
        ids = index.add(read_paths([path], modalities=["image"]))
        yield path, index, dict(zip(ANSWERS, ids, strict=True)), request.param == "minilm"


def lit(heat):
    return heat > 0.1


def above_the_median(explanation):
    """How heatmaps were made before: each patch above the median of its page, relative to the best one."""
    heat = np.zeros(len(explanation.patches))
    for rows in explanation.words.values():
        similarities = explanation.similarities[list(rows)].max(axis=0)
        heat += np.maximum(similarities - np.median(similarities), 0)
    return heat / heat.max()


def test_few_patches_stand_out_and_among_them_the_answer(printed):
    """With the median as threshold, as before, 3 to 21 % of these patches were lit; now 0.4 to 6 %.

    On six real pages, read by the same encoder with MiniLM, it was 14 to 51 %, and is 0.5 to 13 %.
    """
    path, index, ids, _ = printed
    before = []
    for number, (name, (query, answer)) in enumerate(ANSWERS.items(), 1):
        explanation = index.explain(query, ids[name])
        heat = explanation.heat()
        assert 0 < lit(heat).mean() <= MAX_LIT, name
        before.append(lit(above_the_median(explanation)).mean())
        assert lit(heat).mean() < before[-1], name
        for word in answer:
            places = [box for found, box in words_on(path, number) if found.strip(",.") == word]
            assert any(
                heat[at] > 0 for at, patch in enumerate(explanation.patches) for place in places if meet(patch, place)
            ), (name, word)
    assert np.mean(before) > 0.1


def meet(box, other):
    return box[0] < other[2] and other[0] < box[2] and box[1] < other[3] and other[1] < box[3]


def test_the_best_region_is_that_of_the_answer(printed):
    path, index, ids, _ = printed
    for number, (name, (query, answer)) in enumerate(ANSWERS.items(), 1):
        regions = index.explain(query, ids[name]).boxes()
        assert [region.score for region in regions] == sorted((region.score for region in regions), reverse=True)
        assert all(0 < region.score <= 1 for region in regions)
        places = [box for found, box in words_on(path, number) if found.strip(",.") in answer]
        assert any(meet(region.box, place) for region in regions[:3] for place in places), name
        words = {word for region in regions for word in region.words}
        assert words <= set(query.split())
        assert words & {word.lower() for word in answer}, name


def test_pages_of_one_answer_have_one_scale(printed):
    """Words that any page may have, such as "of", are alike everywhere; an encoder that knows meanings knows better."""
    _, index, ids, knows_meanings = printed
    query, _ = ANSWERS["text"]
    together = index.explain_many(query, list(ids.values()))
    assert len({explanation.full_heat for explanation in together.values()}) == 1
    hottest = {name: float(together[ids[name]].heat().max()) for name in ids}
    assert hottest["text"] == 1
    assert max(heat for name, heat in hottest.items() if name != "text") < (0.2 if knows_meanings else 0.5)
    if knows_meanings:  # an unrelated page is cold by itself, too
        assert index.explain(query, ids["table"]).heat().max() < 0.3


class TestBoxes:
    @pytest.fixture
    def index(self, tmp_path, colour_encoder, report):
        with Index.open(tmp_path / "index", encoder=colour_encoder) as index:
            index.add(read_paths([report], modalities=["image"]))
            index.add([Document("red is a colour", id="text")])
            yield index

    @pytest.fixture
    def bars(self, report):
        """The id of the page with the red and the blue bar."""
        return f"{report.as_posix()}#page=2"

    def test_they_surround_what_matches(self, index, bars):
        """The red bar is 100 to 200 of 595 points from the left and 642 to 742 of 842 from the top."""
        explanation = index.explain("red blue", bars)
        regions = {region.words: region for region in explanation.boxes()}
        assert set(regions) == {("red",), ("blue",)}
        cell = 1 / 8  # of the encoder's grid
        for words, (left, top, right, bottom) in (
            (("red",), (100 / 595, 642 / 842, 200 / 595, 742 / 842)),
            (("blue",), (400 / 595, 92 / 842, 480 / 595, 242 / 842)),
        ):
            box = regions[words].box
            assert left - cell < box[0] <= left
            assert top - cell < box[1] <= top
            assert right <= box[2] < right + cell
            assert bottom - cell / 10 <= box[3] < bottom + cell  # of its last row, the bar fills half a point
            assert regions[words].page_box == pytest.approx((box[0] * 595, box[1] * 842, box[2] * 595, box[3] * 842))
            assert 0.2 < regions[words].score <= 0.6  # one of the two words

    def test_values_for_apis(self, index, bars):
        region = index.explain("red", bars).boxes()[0]
        assert isinstance(region, PageRegion)
        assert json.loads(json.dumps(region.to_dict())) == {
            "box": list(region.box),
            "page_box": list(region.page_box),
            "score": region.score,
            "words": ["red"],
        }

    def test_crops_show_the_regions(self, index, bars):
        explanation = index.explain("red blue", bars)
        crops = explanation.crops()
        page = index.get([bars])[0].load_image()
        assert len(crops) == len(explanation.boxes()) == 2
        for region, crop in zip(explanation.boxes(), crops, strict=True):
            colour = {"red": (255, 0, 0), "blue": (0, 0, 255)}[region.words[0]]
            assert (np.asarray(crop) == colour).all(axis=2).sum() == (np.asarray(page) == colour).all(axis=2).sum()
            assert crop.width < page.width
            assert crop.height < page.height / 2

    def test_nothing_stands_out(self, index, bars):
        for query in ("green", "!"):
            assert index.explain(query, bars).boxes() == ()
            assert index.explain(query, bars).crops() == []

    def test_a_page_full_of_what_is_asked(self, tmp_path, colour_encoder):
        pages = [Document(image=Image.new("RGB", (80, 80), colour), id=colour) for colour in ("red", "blue", "green")]
        with Index.open(tmp_path / "full", encoder=colour_encoder) as index:
            index.add(pages)
            assert index.explain("red", "red").spans[0].similarity == pytest.approx(1, abs=1e-3)
            assert not lit(index.explain("red", "red").heat()).any()  # no part of it stands out

    def test_an_index_of_one_page(self, tmp_path, colour_encoder):
        picture = Image.new("RGB", (400, 200), "white")
        picture.paste((255, 0, 0), (300, 20, 380, 60))
        with Index.open(tmp_path / "one", encoder=colour_encoder) as index:
            (name,) = index.add([Document(image=picture)])
            (region,) = index.explain("red", name).boxes()
        assert region.page_box == pytest.approx((300, 0, 400, 75), abs=26)

    def test_a_text_has_none(self, index):
        for call in (index.explain("red", "text").boxes, index.explain("red", "text").crops):
            with pytest.raises(InvalidRequestError, match=r"'text' is a text, .* Use spans"):
                call()

    def test_crops_of_a_page_that_is_gone(self, index, bars, report):
        explanation = index.explain("red", bars)
        report.unlink()
        assert explanation.boxes()
        with pytest.raises(ImageUnavailableError, match="does not exist"):
            explanation.crops()

    def test_pooled_pages(self, tmp_path, report, bars):
        with Index.open(tmp_path / "pooled", encoder=ColourEncoder(), pooling=3) as index:
            index.add(read_paths([report], modalities=["image"]))
            assert {region.words for region in index.explain("red blue", bars).boxes()} == {("red",), ("blue",)}


def test_groups_of_adjacent_boxes():
    left, right, diagonal, far = (0, 0, 0.1, 0.1), (0.1, 0, 0.2, 0.1), (0.2, 0.1, 0.3, 0.2), (0.6, 0.6, 0.7, 0.7)
    inside = (0.62, 0.62, 0.64, 0.64)  # patches of several sizes may overlap
    assert sorted(adjacent_groups([left, far, right, diagonal, inside])) == [[0, 2, 3], [1, 4]]
    assert adjacent_groups([]) == []


def test_html_is_ascii(tmp_path, colour_encoder):
    with Index.open(tmp_path / "index", encoder=colour_encoder) as index:
        index.add([Document(image=Image.new("RGB", (80, 80), "red"), id="Größe"), Document("Übung in red", id="é")])
        for name, shown in (("Größe", "Gr&#246;&#223;e"), ("é", "&#220;bung")):
            page = index.explain("красный red", name).to_html()
            assert page.isascii()
            assert shown in page
            assert "&#1082;" in page
