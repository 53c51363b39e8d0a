"""The option ``--engine``: which engine a path opens in the tests of LangChain and LlamaIndex."""

from __future__ import annotations

import pytest

OTHER_ENGINES = ("qdrant", "lancedb")

_COPIES = {
    "it copies, moves or names the directory of an index": [
        "test_a_copy_is_loaded_with_everything_in_it",
        "test_while_others_write",
        "test_a_directory_that_is_in_use",
        "test_where_nothing_can_be_written",
        "test_a_reader_cannot_copy",
        "test_twice_into_the_same_place",
        "test_as_a_dict",
        "test_kept_and_loaded_by_the_storage_context",
    ]
}
_COMMON_WORDS = "words of most documents count, too, which decides among four documents"
DIFFERENCES = {
    "qdrant": {
        **_COPIES,
        "there is no directory that could move": ["test_one_that_has_moved"],
        "it expects the order of addition from documents of equal scores": [
            "test_diversity",
            "test_pages_round_trip_through_the_store",
            "test_documents_of_a_store_make_the_same_store",
            "test_the_arguments_of_the_engines_pass",
            "test_from_vector_store",
            "test_a_model_that_sees_is_shown_the_pages",
        ],
        _COMMON_WORDS: ["test_configurable", "test_of_one_call[given0]"],
        "a server has no transactions": ["test_a_reader_sees_either"],
        "it expects the message of the local engine": ["test_errors_of_the_index_reach_the_caller"],
    },
    "lancedb": {**_COPIES, _COMMON_WORDS: ["test_configurable"]},
}
"""Tests that say what only the local engine does, by reason."""


def add_option(parser):
    parser.addoption(
        "--engine",
        choices=("local", *OTHER_ENGINES),
        default="local",
        help="what a path opens in the tests of LangChain and LlamaIndex: the local engine, Qdrant's own engine "
        "behind its client, or LanceDB",
    )


def skip_differences(config, items):
    """Skip tests that an engine cannot pass."""
    engine = config.getoption("--engine")
    for reason, names in DIFFERENCES.get(engine, {}).items():
        for item in items:
            if {item.name, getattr(item, "originalname", None)} & set(names):
                item.add_marker(pytest.mark.skip(reason=f"{engine}: {reason}"))


@pytest.fixture(autouse=True, scope="module")
def _engine_of_paths(request):
    """For the packages that import it."""
    engine = request.config.getoption("--engine")
    if engine == "local":
        yield
        return
    from tests.other_engines import paths_open

    with paths_open(engine):
        yield
