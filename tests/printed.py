"""Pages as people print them, and an encoder that reads the words on them: realistic similarities without a model."""

from __future__ import annotations

import hashlib
import textwrap

import numpy as np
import pypdfium2

from late_interaction.images.page_image import PageImage
from tests import pdfs
from tests.pdfs import Page, write_pdf

ROWS, COLUMNS = 32, 23  # 736 patches, as ColQwen2 sees A4
_NEIGHBOURS, _WHOLE_PAGE = 0.12, 0.3  # what each patch takes on of the patches beside it, and of its page

FORM = [
    ("Application for a resident parking permit", ""),
    ("Family name", "Okonkwo"),
    ("Given names", "Adaeze Ruth"),
    ("Date of birth", "14 March 1986"),
    ("Street and house number", "Harbour Street 17"),
    ("Town and postal code", "4051 Rivermouth"),
    ("Telephone during the day", "061 555 0143"),
    ("Electronic mail", "adaeze@example.org"),
    ("Make and model of the vehicle", "Volvo estate"),
    ("License plate", "RM 20 417"),
    ("First registration", "June 2019"),
    ("Zone applied for", "Old harbour, zone C"),
    ("Permit begins on", "1 January"),
    ("Fee paid by", "bank transfer"),
    ("Second vehicle in the household", "none"),
    ("Employer, if you commute", "Port authority"),
    ("Place and date", "Rivermouth, 2 December"),
    ("Signature of the applicant", "A. R. Okonkwo"),
    ("For the office: checked by", "Mr. Lindqvist"),
    ("For the office: receipt", "8831 B"),
]
_STATIONS = """Lisbon Bergen Geneva Valencia Graz Dublin Tampere Bari Riga Porto Nantes Split Leeds Varna Bilbao Ghent
Trieste Cork Turku Sofia Lviv Brno"""
TABLE = [
    ["Station", "Altitude", "Rainfall", "Sunshine", "Snowfall"],
    *([name, *(str((n * 7919 + k * 104729) % 2741) for k in range(4))] for n, name in enumerate(_STATIONS.split())),
]
TEXT = """In early summer a strong colony prepares to divide. The workers build queen cells along the lower edge of the
comb, and the old queen lays fewer eggs and loses weight until she can fly. On a warm morning, when the first
cells are sealed, half of the bees leave the hive with her and settle as a swarm on a branch nearby. Scouts then
look for a hollow tree, a chimney or an empty box, and dance on the surface of the cluster to tell the others what
they have found. Within a day or two most of them agree and the swarm takes off. A keeper who wants to avoid this
gives the colony room in time, removes the sealed cells every nine days, or divides it himself. What remains in
the old hive raises a young queen, who mates on the wing two weeks later and begins to lay. Until then the hive
has no brood, which is the best moment of the year for a treatment against mites, since none of them can hide
below the caps. Feed the divided colonies with thin syrup if there is no nectar, close their entrances to the
width of a finger so that robbers stay out, and leave them alone for a fortnight. In autumn unite the weak ones; a
small cluster will not keep itself warm until spring."""
LETTER = """Dear Ms Haddad, we refer to your message of last week and to our conversation on the telephone. You asked us
to deliver the remaining chairs before the end of the month and to send the invoice to your new office. We regret
that the manufacturer has stopped making this model, and that we can offer you twelve of the twenty chairs only.
You are free to accept these at the price that we agreed, or to choose another model from the enclosed catalogue.
If neither suits you, we accept the cancellation of the whole contract without any charge, and return your deposit
within ten days. Please let us know by the fifteenth. Our driver will be in your neighbourhood on the eighteenth
and could collect the two chairs that were damaged on the way. We apologise for the trouble this has caused you,
and hope to remain at your service. With kind regards, Emil Brandt, customer service. Enclosures: catalogue, form
for the bank, prepaid label."""
CHART = ["Visitors of the museum by season", "winter", "spring", "summer", "autumn", "children", "adults"]

ANSWERS = {  # for each page a query, and words of its answer
    "form": ("license plate of the vehicle", ("License", "plate")),
    "table": ("rainfall in Leeds", ("Rainfall", "Leeds")),
    "text": ("treatment against mites", ("treatment", "mites")),
    "letter": ("cancellation of the contract", ("cancellation", "contract")),
    "chart": ("visitors in spring", ("Visitors", "spring")),
}


def _drawn():
    def line(words, x, y, size=11.0):
        return pdfs.text(words.encode("cp1252", "replace").decode("latin-1"), x, y, size)

    form = line(FORM[0][0], 60, 790, 16)
    for n, (label, value) in enumerate(FORM[1:]):
        form += line(label, 60, 750 - 37 * n) + line(value, 300, 750 - 37 * n) + f"290 {742 - 37 * n} 250 24 re S\n"
    table = "".join(
        line(word, 50 + 105 * column, 790 - 30 * row)
        for row, cells in enumerate(TABLE)
        for column, word in enumerate(cells)
    )
    chart = line(CHART[0], 120, 760, 18) + pdfs.chart([220, 310, 400, 180])
    chart += "".join(line(word, 100 + 60 * n, 282) for n, word in enumerate(CHART[1:5]))
    chart += line(CHART[5], 430, 500) + line(CHART[6], 430, 480)
    text, letter = (
        "".join(line(words, 60, 780 - 22 * n, 13) for n, words in enumerate(textwrap.wrap(" ".join(prose.split()), 72)))
        for prose in (TEXT, LETTER)
    )
    return {"form": form, "table": table, "text": text, "letter": letter, "chart": chart}


def write_printed(path):
    """Write the pages, in the order of `ANSWERS`."""
    drawn = _drawn()
    return write_pdf(path, [Page(drawn[name]) for name in ANSWERS])


def words_on(path, page):
    """The words on a page, as PDFium finds them, with their boxes as fractions of the page."""
    document = pypdfium2.PdfDocument(path)
    opened = document[page - 1]
    text, (width, height) = opened.get_textpage(), opened.get_size()
    found = [("", [])]
    for at in range(text.count_chars()):
        character = text.get_text_range(at, 1)
        if character.strip():
            word, boxes = found.pop()
            found.append((word + character, [*boxes, text.get_charbox(at)]))
        else:
            found.append(("", []))
    document.close()
    edges = [(word, np.array(boxes)) for word, boxes in found if word]
    return [
        (word, (b[:, 0].min() / width, 1 - b[:, 3].max() / height, b[:, 2].max() / width, 1 - b[:, 1].min() / height))
        for word, b in edges
    ]


class PrintedEncoder:
    """Reads the words on the pages of some PDFs: the vector of a patch is that of the words in it.

    As with a vision transformer, patches take on something of those beside them and of the whole page, and all are
    noisy. A patch without words is that of a full stop. So most patches of a page of text are a little similar to each
    word of a query on its topic.

    Args:
        text_encoder: Encodes the words of queries and pages.
        paths: The PDFs.
    """

    modalities = frozenset({"text", "image"})

    def __init__(self, text_encoder, *paths):
        self.text_encoder = text_encoder
        self.dim = text_encoder.dim
        self.fingerprint = {"printed": dict(text_encoder.fingerprint)}
        self._pages = {}
        for path in paths:
            document = pypdfium2.PdfDocument(path)
            count = len(document)
            document.close()
            for number in range(1, count + 1):
                image = PageImage.from_file(path, number).load(self.viewed_size)
                self._pages[_digest(image)] = words_on(path, number)

    def encode_queries(self, texts):
        return self.text_encoder.encode_queries(texts)

    def encode_documents(self, texts):
        return self.text_encoder.encode_documents(texts)

    def token_spans(self, text, task):
        return self.text_encoder.token_spans(text, task)

    def viewed_size(self, width, height):
        return 28 * COLUMNS, 28 * ROWS

    def patch_boxes(self, size):
        cells = ((row, column) for row in range(ROWS) for column in range(COLUMNS))
        return [(c / COLUMNS, r / ROWS, (c + 1) / COLUMNS, (r + 1) / ROWS) for r, c in cells]

    def encode_images(self, images):
        return [self._encode(self._pages[_digest(image)]) for image in images]

    def _encode(self, words):
        stop = _unit(self.text_encoder.encode_documents(["a."])[0][-1:])[0]
        cells = np.zeros((ROWS, COLUMNS, self.dim))
        filled = np.zeros((ROWS, COLUMNS))
        for (_, (left, top, right, bottom)), vector in zip(
            words, self._vectors([word for word, _ in words]), strict=True
        ):
            across = _overlaps(left, right, COLUMNS)
            down = _overlaps(top, bottom, ROWS)
            area = np.outer(down, across)
            cells += area[..., None] * vector
            filled += area
        share = np.minimum(filled / 0.25, 1)[..., None]
        cells = share * _unit(cells) + (1 - share) * stop
        near = np.zeros_like(cells)
        near[1:] += cells[:-1]
        near[:-1] += cells[1:]
        near[:, 1:] += cells[:, :-1]
        near[:, :-1] += cells[:, 1:]
        mixed = _unit(cells + _NEIGHBOURS * near + _WHOLE_PAGE * cells.mean(axis=(0, 1)))
        noise = np.random.default_rng(len(words)).normal(0, 0.15 / np.sqrt(self.dim), mixed.shape)
        return _unit(mixed + noise).reshape(-1, self.dim).astype(np.float32)

    def _vectors(self, words):
        """The mean vector of the tokens of each word, in the context of the words around it."""
        vectors = []
        for start in range(0, len(words), 80):
            text, spans = "", []
            for word in words[start : start + 80]:
                spans.append((len(text), len(text) + len(word)))
                text += word + " "
            (tokens,) = self.text_encoder.encode_documents([text])
            places = self.text_encoder.token_spans(text, "document")
            for begin, end in spans:
                own = [tokens[n] for n, place in enumerate(places) if place and place[0] < end and place[1] > begin]
                vectors.append(np.mean(own, axis=0) if own else np.zeros(self.dim))
        return vectors


def _overlaps(low, high, cells):
    """How much of each of these equal parts of the unit interval lies between two numbers."""
    edges = np.arange(cells + 1) / cells
    return np.clip(np.minimum(high, edges[1:]) - np.maximum(low, edges[:-1]), 0, None) * cells


def _unit(vectors):
    return vectors / np.maximum(np.linalg.norm(vectors, axis=-1, keepdims=True), 1e-9)


def _digest(image):
    return hashlib.sha256(image.tobytes()).hexdigest()
