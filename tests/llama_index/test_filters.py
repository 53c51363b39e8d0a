"""`MetadataFilters` against core's own evaluator, leaf by leaf."""

from __future__ import annotations

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from llama_index.core.schema import QueryBundle, TextNode
from llama_index.core.vector_stores import FilterCondition, FilterOperator, MetadataFilter, MetadataFilters, utils

from late_interaction import Index
from late_interaction.errors import InvalidFilterError
from late_interaction.filters import matches
from late_interaction.llama_index import LateInteractionIndex, LateInteractionRetriever
from late_interaction.llama_index.filters import to_filter
from tests.examples import examples
from tests.fakes import WordEncoder

KEYS = ["a", "b", "c"]
WORDS = ["", "new", "News", "ÄRGER", "ärger", "old news", "é"]
NUMBERS = [-1, 0, 1, 2, 2.5, 10**12]
LISTS = [[], ["new"], ["new", "ÄRGER"], ["old news", "new", ""], [1, 2], [0], [2.5, -1.0]]
VALUES = [None, True, False, *WORDS, *NUMBERS, *LISTS]

OPERANDS = {
    FilterOperator.IN: LISTS,
    FilterOperator.NIN: LISTS,
    FilterOperator.ANY: LISTS,
    FilterOperator.ALL: LISTS,
    FilterOperator.TEXT_MATCH: WORDS,
    FilterOperator.TEXT_MATCH_INSENSITIVE: WORDS,
    FilterOperator.IS_EMPTY: [None],
    **dict.fromkeys((">", "<", ">=", "<="), WORDS + NUMBERS),
}
METADATA = st.dictionaries(st.sampled_from(KEYS), st.sampled_from(VALUES))
LEAVES = st.sampled_from(list(FilterOperator)).flatmap(
    lambda operator: st.builds(
        MetadataFilter,
        key=st.sampled_from(KEYS),
        operator=st.just(operator),
        value=st.sampled_from(OPERANDS.get(operator, [None, *WORDS, *NUMBERS, *LISTS])),
    )
)


def groups(children):
    conditions = st.sampled_from([*FilterCondition, None])
    return st.builds(MetadataFilters, filters=st.lists(children, max_size=4), condition=conditions)


FILTERS = groups(st.recursive(LEAVES, groups, max_leaves=8))


def passes(part, metadata):
    """Core's answer. It knows no groups within groups, and raises where a value has a type it cannot compare."""
    if isinstance(part, MetadataFilters):
        answers = [passes(inner, metadata) for inner in part.filters]
        if not answers or part.condition in (None, FilterCondition.AND):
            return all(answers)
        return any(answers) if part.condition == FilterCondition.OR else not any(answers)
    try:
        return utils.build_metadata_filter_fn(lambda _: metadata, MetadataFilters(filters=[part]))("id")
    except TypeError:
        return False


@pytest.fixture(scope="module")
def stored(tmp_path_factory):
    """Nodes with every value under each of the keys, and the index that holds them."""
    metadata = [{"a": one, "b": VALUES[-at], "c": VALUES[at // 2]} for at, one in enumerate(VALUES)] + [{}]
    nodes = [TextNode(text="word", id_=str(at), metadata=fields) for at, fields in enumerate(metadata)]
    with Index.open(tmp_path_factory.mktemp("filters") / "index", encoder=WordEncoder()) as index:
        LateInteractionIndex(nodes, index=index)
        yield index, nodes


@given(filters=FILTERS)
@settings(max_examples=examples(1000), deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_random_nested_filters(stored, filters):
    index, nodes = stored
    expected = [node.id_ for node in nodes if passes(filters, node.metadata)]
    assert [document.id for document in index.scan(where=to_filter(filters))] == expected


@given(filters=FILTERS, metadata=METADATA)
@settings(max_examples=examples(1000), deadline=None)
def test_the_reference_evaluator_agrees(filters, metadata):
    assert matches(to_filter(filters), metadata) == passes(filters, metadata)


def test_filters_come_before_scoring(stored):
    index, nodes = stored
    filters = MetadataFilters(filters=[MetadataFilter(key="a", value="new")])
    expected = {node.id_ for node in nodes if node.metadata.get("a") == "new"}
    retriever = LateInteractionRetriever(index=index, filters=filters, similarity_top_k=len(expected))
    assert {found.node.node_id for found in retriever.retrieve(QueryBundle("word"))} == expected


@pytest.mark.parametrize(
    ("part", "named"),
    [
        (MetadataFilter(key="a", operator=">", value=["x"]), "number or a string"),
        (MetadataFilter(key="a", operator=">", value=None), "number or a string"),
        (MetadataFilter(key="a", operator="in", value="x"), "takes a list"),
        (MetadataFilter(key="a", operator="all", value=3), "takes a list"),
        (MetadataFilter(key="a", operator="text_match", value=3), "takes a string"),
        (MetadataFilter(key="a", operator="text_match_insensitive", value=None), "takes a string"),
        (MetadataFilter(key="_secret", value="x"), "_secret"),
        (MetadataFilter(key="$or", value="x"), "or"),
    ],
)
def test_filters_that_mean_nothing(stored, part, named):
    with pytest.raises(InvalidFilterError, match=named):  # when the retriever is made, and not at its first use
        LateInteractionRetriever(index=stored[0], filters=MetadataFilters(filters=[part]))
