"""Decimals: what Qdrant's parser of JSON reads exactly, and the nearest of them to any other number."""

from __future__ import annotations

import random
import struct

import pytest
import qdrant_edge as edge

from late_interaction.engines.qdrant.decimals import is_decimal, nearest_decimal


def random_floats(count, seed=3):
    rng = random.Random(seed)
    found = [0.0, -0.0, 1.0, 0.1, 0.1 + 0.2, 1e15, 1e-7, 9.99999999999999e14, 999999999999999.9, 5e-324, 1.7e308]
    while len(found) < count:
        (wild,) = struct.unpack("d", rng.randbytes(8))
        some = [
            wild,
            rng.random(),
            round(rng.uniform(-1e6, 1e6), rng.randrange(9)),
            rng.random() * 10 ** rng.randrange(20),
        ]
        found += [number for number in some if number == number and abs(number) != float("inf")]
    return found


@pytest.fixture(scope="module")
def parsed(tmp_path_factory):
    """What Qdrant's parser makes of numbers."""
    config = edge.EdgeConfig(vectors={"none": edge.EdgeVectorParams(size=1, distance=edge.Distance.Dot)})
    shard = edge.EdgeShard.create(str(tmp_path_factory.mktemp("shard")), config)

    def parse(numbers):
        shard.update(edge.UpdateOperation.upsert_points([edge.Point(1, {}, {"n": numbers})]))
        return shard.retrieve([1], with_payload=True, with_vector=False)[0].payload["n"]

    yield parse
    shard.close()


def test_decimals_are_read_exactly(parsed):
    numbers = random_floats(20_000)
    decimals = [number for number in numbers if is_decimal(number)]
    assert len(decimals) > 2_000
    assert parsed(decimals) == decimals
    others = [number for number in numbers if not is_decimal(number)]
    assert parsed(others) != others  # or there is no need for any of this


def test_nearest_decimals_and_integers_of_49_bits_are_read_exactly(parsed):
    nearest = [nearest_decimal(number)[0] for number in random_floats(20_000)]
    assert parsed(nearest) == nearest
    rng = random.Random(4)
    whole = [float(rng.randrange(2 ** rng.randrange(1, 50))) for _ in range(5_000)]
    assert parsed(whole) == whole


def test_no_decimal_is_between_a_number_and_its_nearest():
    numbers = random_floats(3_000)
    rng = random.Random(5)
    for number in numbers:
        nearest, side = nearest_decimal(number)
        assert side == (number > nearest) - (number < nearest)
        assert is_decimal(nearest) or abs(nearest) == 1e15
        close = [float(f"{number * (1 + rng.uniform(-1, 1) * 1e-14):.14e}") for _ in range(5)]
        for decimal in (one for one in [*close, *rng.sample(numbers, 5)] if is_decimal(one)):
            if side and decimal != nearest:
                assert (decimal < number) == (decimal < nearest)


@pytest.mark.parametrize(
    ("number", "expected"),
    [
        (2**53 + 1, (1e15, 1)),
        (-(10**400), (-1e15, -1)),
        (float("inf"), (1e15, 1)),
        (999_999_999_999_999, (999_999_999_999_999, 0)),
        (10**15, (1e15, 0)),
        (-5e-324, (0, -1)),
    ],
    ids=repr,
)
def test_numbers_at_the_edges(number, expected):
    assert nearest_decimal(number) == expected
