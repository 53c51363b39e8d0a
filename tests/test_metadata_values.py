"""Values of metadata that JSON has no type for: what is stored for each, and that filters compare the same."""

from __future__ import annotations

import dataclasses
import datetime
import enum
import json
import uuid
from collections import OrderedDict
from decimal import Decimal
from pathlib import PurePosixPath
from types import MappingProxyType

import numpy as np
import pydantic
import pytest

from late_interaction import Document, Index, filters
from late_interaction.errors import InvalidDocumentError, InvalidFilterError
from tests.fakes import WordEncoder

UTC = datetime.timezone.utc
INDIA = datetime.timezone(datetime.timedelta(hours=5, minutes=30))


class Colour(enum.Enum):
    RED = "red"


class Name(str, enum.Enum):
    ADA = "Ada"


class Level(enum.IntEnum):
    HIGH = 3


class Shouted(str):
    def __str__(self):
        return self.upper()


STORED = [
    (datetime.datetime(2024, 1, 2, 3, 4, 5), "2024-01-02T03:04:05"),
    (datetime.datetime(2024, 1, 2, 3, 4, 5, 600), "2024-01-02T03:04:05.000600"),
    (datetime.datetime(2024, 1, 2, 3, 4, tzinfo=UTC), "2024-01-02T03:04:00+00:00"),
    (datetime.datetime(2024, 1, 2, 3, 4, tzinfo=INDIA), "2024-01-01T21:34:00+00:00"),
    (datetime.datetime(1, 1, 1), "0001-01-01T00:00:00"),
    (datetime.date(2024, 1, 2), "2024-01-02"),
    (datetime.time(3, 4, 5), "03:04:05"),
    (datetime.timedelta(days=1, microseconds=500_000), 86_400.5),
    (uuid.UUID(int=7), "00000000-0000-0000-0000-000000000007"),
    (Decimal("19.99"), 19.99),
    (Decimal("3.00"), 3),
    (Decimal("-0.1"), -0.1),
    (Decimal(2**63), float(2**63)),
    (Decimal("1E+300"), 1e300),
    (PurePosixPath("a/b.txt"), "a/b.txt"),
    (Colour.RED, "red"),
    (Name.ADA, "Ada"),
    (Level.HIGH, 3),
    (Shouted("quiet"), "quiet"),
    (np.int64(-3), -3),
    (np.uint8(200), 200),
    (np.float64(1.5), 1.5),
    (np.float32(0.5), 0.5),
    (np.float32(0.1), 0.10000000149011612),
    (np.bool_(True), True),
    (np.str_("a"), "a"),
    (np.datetime64("2024-01-02"), "2024-01-02"),
    (np.datetime64("2024-01"), "2024-01-01"),
    (np.datetime64("2024-01-02T03:04:05"), "2024-01-02T03:04:05"),
    (np.datetime64("2024-01-02T03:04:05.000000000"), "2024-01-02T03:04:05"),
    (np.datetime64("2024-01-02T03:04:05.000000001"), "2024-01-02T03:04:05.000000001"),
    (np.timedelta64(1_500, "ms"), 1.5),
    (np.array([1, 2]), [1, 2]),
    (np.array([[0.5], [2.0]]), [[0.5], [2.0]]),
    (np.array(7), 7),
    (np.array(["a", None], object), ["a", None]),
    (np.array(["2024-01-02"], "datetime64[ns]"), ["2024-01-02T00:00:00"]),
    ([datetime.date(2024, 1, 2), {"at": (Level.HIGH,)}], ["2024-01-02", {"at": [3]}]),
    (OrderedDict(a=Decimal(1)), {"a": 1}),
    (MappingProxyType({Name.ADA: 1, Colour.RED: 2}), {"Ada": 1, "red": 2}),
]


@pytest.mark.parametrize(("given", "stored"), STORED, ids=repr)
def test_what_is_stored(given, stored):
    metadata = Document("text", metadata={"key": given}).metadata
    assert metadata == {"key": stored}
    assert json.loads(json.dumps(metadata)) == metadata
    assert type(metadata["key"]) is type(stored)


def test_what_a_pandas_timestamp_is_stored_as():
    pandas = pytest.importorskip("pandas")
    given = {
        "naive": pandas.Timestamp("2024-01-02 03:04"),
        "aware": pandas.Timestamp("2024-01-02 03:04", tz="Asia/Kolkata"),
        "fine": pandas.Timestamp("2024-01-02 03:04:05.000000001"),
        "row": pandas.Series([1, 2])[1],
    }
    assert Document("text", metadata=given).metadata == {
        "naive": "2024-01-02T03:04:00",
        "aware": "2024-01-01T21:34:00+00:00",
        "fine": "2024-01-02T03:04:05.000000001",
        "row": 2,
    }
    with pytest.raises(InvalidDocumentError, match="NaT"):
        Document("text", metadata={"when": pandas.NaT})
    with pytest.raises(InvalidDocumentError, match="tolist"):
        Document("text", metadata={"column": pandas.Series([1])})


@dataclasses.dataclass
class Point:
    x: int = 0


class Model(pydantic.BaseModel):
    x: int = 0


@pytest.mark.parametrize(
    ("given", "advice"),
    [
        (Point(), r"dataclasses\.asdict"),
        (Model(), r"model_dump"),
        ({1, 2}, r"sorted"),
        (b"x", r"base64"),
        (1j, "Use strings"),
        (Decimal("NaN"), "NaN.*None"),
        (Decimal("sNaN"), "NaN.*None"),
        (Decimal("-Infinity"), "Infinity.*None"),
        (Decimal("1E+400"), "1E.400.*range of floats"),
        (np.float32("nan"), "nan.*None"),
        (np.datetime64("NaT"), "NaT.*None"),
        (np.timedelta64("NaT"), "NaT.*None"),
        (np.timedelta64(3, "M"), "string"),
        (np.datetime64(10**12, "Y"), "string"),
        (datetime.datetime.min.replace(tzinfo=INDIA), "string"),
        (np.ma.masked, "JSON"),
        (np.array([1 + 1j]), r"metadata\['key'\]\[0\] is a complex128"),
        (PurePosixPath("caf\udce9"), "Unicode"),
    ],
    ids=repr,
)
def test_what_cannot_be_stored_says_what_to_do(given, advice):
    with pytest.raises(InvalidDocumentError, match=advice) as caught:
        Document("text", id="my-id", metadata={"key": given})
    assert "'my-id'" in str(caught.value)
    assert "metadata['key']" in str(caught.value)


@pytest.fixture
def index(tmp_path):
    with Index.open(tmp_path / "index", encoder=WordEncoder()) as index:
        yield index


def ids(index, where):
    return {document.id for document in index.scan(where=where, fields=())}


def test_filters_compare_as_stored(index):
    index.add(Document("text", id=str(place), metadata={"key": given}) for place, (given, _) in enumerate(STORED))
    for place, (given, stored) in enumerate(STORED):
        for where in ({"key": given}, {"key": {"$in": [given]}}, {"key": {"$eq": stored}}):
            assert str(place) in ids(index, where), where
            assert filters.matches(filters.parse(where), {"key": stored})


def test_instants_sort_whatever_their_time_zones(index):
    moments = [datetime.datetime(2024, 1, 1, hour, tzinfo=zone) for hour in (0, 3, 6) for zone in (UTC, INDIA)]
    index.add(Document("text", id=str(n), metadata={"when": moment}) for n, moment in enumerate(moments))
    for asked in moments:
        later = {str(n) for n, moment in enumerate(moments) if moment >= asked}
        assert ids(index, {"when": {"$gte": asked}}) == later
        assert ids(index, {"when": asked.astimezone(INDIA)}) == {str(moments.index(asked))}


def test_other_operands(index):
    index.add([Document("text", id="a", metadata={"tags": ["red", "blue"], "price": Decimal("19.99"), "n": 3})])
    for where in (
        {"tags": {"$contains": Colour.RED}},
        {"tags": {"$all": np.array(["red", "blue"])}},
        {"price": {"$lt": Decimal(20), "$gt": np.float32(19.5)}},
        {"n": {"$in": np.array([1, 2, 3])}},
        {"n": {"$nin": [Decimal(4), np.int8(5)]}},
        {Name.ADA: None, "n": Level.HIGH},
    ):
        assert ids(index, where) == {"a"}, where
    for where in ({"n": Decimal("NaN")}, {"n": {"$gt": np.float32("nan")}}, {"n": Point()}):
        with pytest.raises(InvalidFilterError):
            index.count(where=where)
