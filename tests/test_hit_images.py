"""Page images of hits, as models and browsers take them."""

from __future__ import annotations

import base64
import io

import numpy as np
import pytest
from PIL import Image

from late_interaction import Document, Hit, Index
from late_interaction.errors import ImageUnavailableError
from late_interaction.readers import read_paths


def decoded(data):
    image = Image.open(io.BytesIO(base64.b64decode(data, validate=True)))
    assert image.format == "JPEG"
    return image


@pytest.fixture
def hit(tmp_path, colour_encoder, report):
    with Index.open(tmp_path / "index", encoder=colour_encoder) as index:
        index.add(read_paths([report], modalities=["image"]))
        return index.search("red blue", k=1)[0]


def test_a_page_of_a_pdf(hit):
    """A4 at 144 dpi is 1,190 by 1,684 pixels, with the red bar where it is on the page."""
    image = decoded(hit.image_base64())
    assert image.size == (1190, 1684)
    red, green, blue = image.getpixel((300, 1380))
    assert red > 240
    assert green < 20
    assert blue < 20
    assert np.abs(np.asarray(image, int) - np.asarray(hit.document.load_image(), int)).mean() < 1


def test_a_data_url(hit):
    kind, _, data = hit.image_url().partition(",")
    assert kind == "data:image/jpeg;base64"
    assert data == hit.image_base64()


def test_a_large_image_is_reduced():
    hit = Hit(Document(image=Image.new("RGBA", (5000, 1000), (0, 0, 255, 255))), score=1.0, relevance=1.0)
    image = decoded(hit.image_base64())
    assert image.size == (2048, 410)
    assert image.mode == "RGB"


@pytest.mark.parametrize("method", ["image_base64", "image_url"])
def test_errors_name_the_document_or_the_file(hit, report, method):
    with pytest.raises(ImageUnavailableError, match=r"'nile'.*is a text and has no image"):
        getattr(Hit(Document("The Nile", id="nile"), 1.0, 1.0), method)()
    report.unlink()
    with pytest.raises(ImageUnavailableError, match=r"report\.pdf.*does not exist"):
        getattr(hit, method)()
