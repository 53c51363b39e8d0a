"""Documents as payloads: the same after any wire, and damaged ones are errors that name the document."""

from __future__ import annotations

import json

import numpy as np
import pytest
import qdrant_edge as edge
from hypothesis import given, settings
from hypothesis import strategies as st
from qdrant_client import grpc
from qdrant_client.conversions.conversion import grpc_to_payload, payload_to_grpc

from late_interaction import Document
from late_interaction.engines import Record
from late_interaction.engines.remote import payload as payloads
from late_interaction.engines.remote.payload import document_of, fields_of, payload_of
from late_interaction.errors import CorruptIndexError
from late_interaction.images import PageImage
from tests.pictures import two_colours

NOTHING = np.zeros((0, 4), np.float32)
PAGE = PageImage.from_pixels(two_colours("red", "blue"))


def dictionaries(inner):
    return st.dictionaries(st.one_of(texts, st.sampled_from(["", "a.b", "_hidden", "id", '"'])), inner, max_size=4)


texts = st.text(max_size=20)
scalars = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-(2**63), 2**63 - 1),
    st.floats(allow_nan=False, allow_infinity=False),
    st.sampled_from([-0.0, 1.0, 2**53 + 1, 0.1 + 0.2, 1e300, 5e-324, "\x00", "\ufffe", "😀"]),
    texts,
)
values = st.recursive(scalars, lambda inner: st.one_of(st.lists(inner, max_size=4), dictionaries(inner)), max_leaves=8)


documents = st.builds(
    Document,
    texts,
    id=st.text(min_size=1, max_size=20),
    metadata=dictionaries(values),
    encoded_text=st.none() | texts,
    image=st.sampled_from([None, PAGE]),
)


def exact(document):
    """Everything in a document, with the order of keys. Of equal values, 1 and 1.0 differ here, and 0.0 and -0.0."""
    page = None if document.image is None else (document.image.to_json(), document.image.thumbnail)
    metadata = json.dumps(document.metadata)
    return type(document), document.id, document.text, document.encoded_text, metadata, page


def through_json(payload):
    return json.loads(json.dumps(payload, sort_keys=True))


def through_protobuf(payload):
    message = grpc.RetrievedPoint(payload=payload_to_grpc(payload)).SerializeToString()
    return grpc_to_payload(grpc.RetrievedPoint.FromString(message).payload)


@pytest.fixture(scope="module")
def through_edge(tmp_path_factory):
    """What Qdrant's engine gives back: it parses JSON with a parser that is wrong in the last bit of many floats."""
    config = edge.EdgeConfig(vectors={"none": edge.EdgeVectorParams(size=1, distance=edge.Distance.Dot)})
    shard = edge.EdgeShard.create(str(tmp_path_factory.mktemp("shard")), config)

    def stored(payload):
        shard.update(edge.UpdateOperation.upsert_points([edge.Point(1, {}, payload)]))
        return shard.retrieve([1], with_payload=True, with_vector=False)[0].payload

    yield stored
    shard.close()


@settings(max_examples=80, deadline=None)
@given(document=documents, root=st.none() | st.integers(0, 2**63 - 1), truncated=st.booleans())
def test_every_wire_gives_the_document_back(through_edge, document, root, truncated):
    given = payload_of(Record(document, NOTHING, root, truncated), order=7, version="v")
    for wire in (through_json, through_protobuf, through_edge):
        found = wire(given)
        assert exact(document_of(found)) == exact(document)
        assert payloads.id_of(found) == document.id
        assert payloads.root_of(found) == root
        assert payloads.truncated_of(found) is truncated
        assert (found[payloads.ORDER], found[payloads.VERSION]) == (7, "v")
        assert found[payloads.CONTENT] == payloads.content_digest(document)


@settings(max_examples=50, deadline=None)
@given(document=documents, names=st.sets(st.sampled_from(["text", "encoded_text", "metadata", "image"])))
def test_some_fields_need_only_their_keys(document, names):
    whole = payload_of(Record(document, NOTHING), order=1, version="v")
    found = fields_of({key: whole[key] for key in payloads.field_keys(names) if key in whole}, names)
    assert found.id == document.id
    for name in ("text", "encoded_text", "metadata", "image"):
        assert getattr(found, name) == (getattr(document, name) if name in names else None)


def test_what_is_not_wanted_is_not_read():
    assert payloads.THUMBNAIL not in payloads.field_keys(["text", "metadata"])
    assert payloads.field_keys([]) == [payloads.ID]
    assert set(payloads.field_keys()) >= {payloads.THUMBNAIL, payloads.METADATA_JSON, payloads.ROOT}


def test_other_programs_find_what_they_expect():
    document = Document("The Nile", id="a", metadata={"year": 2020, "score": 0.1 + 0.2})
    found = payload_of(Record(document, NOTHING), order=1, version="v")
    assert (found["id"], found["text"]) == ("a", "The Nile")
    assert found["metadata"] == {"year": 2020, "score": 0.1 + 0.2}
    plain = payload_of(Record(Document("x", id="a", metadata={"n": [1, 2.5]}), NOTHING), order=1, version="v")
    assert plain.keys() == {"id", "text", "metadata", "metadata_json", "order", "version", "content"}


def test_metadata_deeper_than_any_message_may_be():
    """As earlier releases stored it. Protocol buffers are nested 100 levels at most."""
    value = "x"
    for _ in range(60):
        value = {"a": [value]} if isinstance(value, str) else {"a": value}
    document = Document.restored("text", id="a", metadata={"deep": value}, encoded_text=None, image=None)
    found = through_protobuf(payload_of(Record(document, NOTHING), order=1, version="v"))
    assert document_of(found) == document


def test_the_digest_is_of_what_is_encoded():
    def digest(*args, **kwargs):
        return payloads.content_digest(Document(*args, **kwargs))

    assert digest("a", metadata={"n": 1}) == digest("b", encoded_text="a")
    assert digest("a") != digest("b")
    assert digest("a", image=PAGE) == digest("b", image=PAGE) != digest("a")


GOOD = payload_of(Record(Document("text", id="a", metadata={"n": 1}, image=PAGE), NOTHING), order=1, version="v")
DAMAGED = {
    "no text": {"text": None},
    "a number as text": {"text": 1},
    "a lone surrogate": {"text": "\ud800"},
    "an encoded text that is a list": {"encoded_text": []},
    "no metadata": {"metadata_json": None},
    "metadata in JSON that is a list": {"metadata_json": "[]"},
    "metadata with infinity": {"metadata_json": '{"a": 1e999}'},
    "an integer beyond 64 bits": {"metadata_json": '{"a": 18446744073709551616}'},
    "a surrogate in metadata": {"metadata_json": '{"\\udfff": 1}'},
    "metadata in JSON that is not JSON": {"metadata_json": "{"},
    "metadata in JSON that is no text": {"metadata_json": {}},
    "metadata in JSON with NaN": {"metadata_json": '{"a": NaN}'},
    "metadata in JSON nested too deep": {"metadata_json": '{"a":' + "[" * 100_000},
    "metadata in JSON nested deeper than stored": {"metadata_json": '{"a":' + "[" * 80 + "]" * 80 + "}"},
    "an image without fields": {"image": {}},
    "an image that is a text": {"image": "x"},
    "an image with a page that is no number": {"image": {**GOOD["image"], "page": "1"}},
    "a thumbnail that is not base64": {"thumbnail": "?"},
    "a thumbnail that is a number": {"thumbnail": 1},
}


@pytest.mark.parametrize("name", DAMAGED)
def test_a_damaged_payload_names_the_document(name):
    with pytest.raises(CorruptIndexError, match="'a'") as caught:
        document_of({**GOOD, **DAMAGED[name]})
    assert len(str(caught.value)) < 1000
    with pytest.raises(CorruptIndexError, match="'a'"):
        fields_of({**GOOD, **DAMAGED[name]}, ("text", "encoded_text", "metadata", "image"))


@pytest.mark.parametrize("damaged", [None, {}, {"id": 1}, {"id": ""}, {"id": "\ud800"}], ids=repr)
def test_a_payload_without_an_id(damaged):
    for read in (document_of, payloads.id_of, lambda given: fields_of(given, ("text",))):
        with pytest.raises(CorruptIndexError, match="no valid id"):
            read(damaged)


@pytest.mark.parametrize("root", ["1", -1, 1.0, True, 2**63], ids=repr)
def test_a_damaged_root(root):
    with pytest.raises(CorruptIndexError, match="root"):
        payloads.root_of({**GOOD, "root": root})
