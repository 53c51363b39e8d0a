"""Servers whose new collections are in strict mode, as in Qdrant Cloud."""

from __future__ import annotations


def test_filters_without_an_index_are_allowed_and_nothing_else_is_changed(open_engine, served):
    open_engine()
    client = served.client()
    strict_mode = client.get_collection("documents").config.strict_mode_config
    client.close()
    assert strict_mode.model_dump(exclude_none=True) == {
        "unindexed_filtering_retrieve": True,
        "unindexed_filtering_update": True,
    }
