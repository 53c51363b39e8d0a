"""`get`, `update_document` and `update_documents`: what users of other stores read and replace by id."""

from __future__ import annotations

import pytest
from langchain_core.documents import Document

from late_interaction.errors import DuplicateIdError, InvalidFilterError, InvalidRequestError, UnknownIdError

ALL = ["nile", "amazon", "paris", "berlin"]


def ids(found):
    return [document.id for document in found]


class TestGet:
    @pytest.mark.parametrize(
        ("given", "expected"),
        [
            ({}, ALL),
            ({"ids": ["paris", "nowhere", "nile"]}, ["paris", "nile"]),
            ({"ids": "paris"}, ["paris"]),
            ({"ids": []}, []),
            ({"where": {"kind": "city"}}, ["paris", "berlin"]),
            ({"filter": {"kind": "city"}}, ["paris", "berlin"]),
            ({"filter": lambda document: "africa" in document.page_content}, ["nile"]),
            ({"ids": ["berlin", "nile", "paris"], "where": {"kind": "city"}}, ["berlin", "paris"]),
            ({"ids": ["berlin", "nile"], "filter": lambda document: document.id > "c"}, ["nile"]),
            ({"where_document": {"$contains": "america"}}, ["amazon"]),
            ({"where_document": {"$not_contains": "river"}, "filter": {"kind": "city"}}, ["paris", "berlin"]),
            ({"ids": ["paris", "nile"], "where_document": {"$contains": "africa"}}, ["nile"]),
            ({"limit": 2}, ALL[:2]),
            ({"limit": 0}, []),
            ({"offset": 3}, ALL[3:]),
            ({"limit": 2, "offset": 1}, ALL[1:3]),
            ({"where": {"kind": "city"}, "limit": 5, "offset": 1}, ["berlin"]),
            ({"ids": ["berlin", "nile", "paris"], "limit": 1, "offset": 1}, ["nile"]),
        ],
    )
    async def test_what_passes_in_order(self, shared, given, expected):
        assert ids(shared.get(**given)) == ids(await shared.aget(**given)) == expected

    def test_whole_documents(self, shared, facts):
        assert shared.get() == facts

    def test_wrong_arguments(self, shared):
        with pytest.raises(InvalidRequestError, match="two names"):
            shared.get(where={"kind": "city"}, filter={"kind": "city"})
        for bad in ({"limit": -1}, {"offset": -1}, {"limit": "many"}):
            with pytest.raises(InvalidRequestError, match=next(iter(bad))):
                shared.get(**bad)
        with pytest.raises(InvalidFilterError):
            shared.get(where={"kind": {"$like": "c"}})


class TestUpdate:
    async def test_text_and_metadata_are_replaced(self, filled, facts):
        new = [Document("the elbe is a river", metadata={"length": 1094}), Document("rome", id="own", metadata={})]
        kept = [document.model_copy(deep=True) for document in new]
        assert filled.update_documents(["nile", "paris"], new) is None
        assert new == kept
        assert filled.get_by_ids(["nile"]) == [
            Document("the elbe is a river", id="nile", metadata={"length": 1094}),
        ]
        assert {document.page_content for document in filled.get()} == {
            "the elbe is a river",
            "rome",
            facts[1].page_content,
            facts[3].page_content,
        }
        assert filled.similarity_search("elbe", k=1)[0].id == "nile"
        await filled.aupdate_document("nile", facts[0])
        filled.update_document(document_id="paris", document=facts[2])
        await filled.aupdate_documents(["amazon"], [facts[1]])
        assert filled.get_by_ids(ALL) == facts

    def test_what_is_not_there_changes_nothing(self, filled, facts):
        with pytest.raises(UnknownIdError, match=r"'elbe'.*add_documents"):
            filled.update_documents(["nile", "elbe"], [Document("changed"), Document("the elbe")])
        with pytest.raises(InvalidRequestError, match="ids has 1 entries for 2"):
            filled.update_documents(["nile"], [Document("changed"), Document("changed, too")])
        for wrong in ((["nile"], facts[0]), ("nile", facts), (["nile"], "changed")):
            with pytest.raises(InvalidRequestError, match="list"):
                filled.update_documents(*wrong)
        with pytest.raises(DuplicateIdError):
            filled.update_documents(["nile", "nile"], [Document("changed"), Document("changed, too")])
        assert filled.get() == facts


class TestDelete:
    async def test_by_filter(self, filled):
        assert filled.delete(filter={"length": {"$lt": 6500}})
        assert await filled.adelete(filter={"kind": "city"})
        assert ids(filled.get()) == ["nile"]

    @pytest.mark.parametrize(
        "given",
        [{"filter": {"kind": "city"}, "where": {"kind": "city"}}, {"ids": ["nile"], "filter": {"kind": "city"}}],
    )
    async def test_what_contradicts_deletes_nothing(self, filled, given):
        with pytest.raises(InvalidRequestError, match="filter"):
            filled.delete(**given)
        with pytest.raises(InvalidRequestError):
            await filled.adelete(**given)
        assert ids(filled.get()) == ALL

    def test_a_function_is_for_searches(self, filled):
        for name in ("filter", "where"):
            with pytest.raises(
                InvalidFilterError, match=r"delete takes a dict, not a function\..*get\(filter=function"
            ):
                filled.delete(**{name: lambda document: True})
        assert ids(filled.get()) == ALL
