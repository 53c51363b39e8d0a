"""Another writer comes in between any two calls: no error, no document that is gone, no score of another text.

The document that is about to be used is deleted, replaced, replaced and put back (so that it looks as it did), or
changed before every call. This is what an engine without snapshots does to whoever calls it twice.
"""

from __future__ import annotations

import itertools
from functools import cache

import pytest

from late_interaction import Document, Index
from late_interaction.errors import UnknownIdError
from tests.conformance.helpers import DIM, needs
from tests.conformance.interference import Interrupted, from_another_thread
from tests.fakes import WordEncoder
from tests.index.helpers import true_maxsim
from tests.relevance import null_score, relevance

QUERY = "red apple on a green table"
TARGET = "target"
BEFORE = Document("red apple on a green table", id=TARGET, metadata={"kind": "fruit"})
AFTER = Document("one red brick", id=TARGET, metadata={"kind": "fruit"})
OTHERS = [
    Document("green apple in a tree", id="tree", metadata={"kind": "fruit"}),
    Document("the table is long", id="table", metadata={"kind": "fruit"}),
    Document("a red wall", id="wall", metadata={"kind": "fruit"}),
    Document("a green field, red flowers", id="field", metadata={"kind": "fruit"}),
]
OTHER_IDS = {document.id for document in OTHERS}
DELETED, REPLACED, AS_BEFORE = "deleted", AFTER, BEFORE
STORIES = {
    "deleted": [DELETED],
    "replaced": [REPLACED],
    "replaced and put back": [REPLACED, AS_BEFORE],
    "deleted and put back": [DELETED, AS_BEFORE],
    "deleted and replaced": [DELETED, REPLACED],
    "replaced before every call": [REPLACED, AS_BEFORE] * 4,
}
ERROR = 0.1  # of MaxSim after compression; the two texts differ by far more


class Writer:
    """Writes one step of a story before each reading call, from the call of this number on."""

    def __init__(self, index, story, start):
        self.index = index
        self.steps = iter(STORIES[story])
        self.start = start
        self.calls = 0
        self.deleted_at = None
        self.has_deleted = False

    def __call__(self, name):
        if name in ("encoder_record", "record_encoder"):
            return
        number, self.calls = self.calls, self.calls + 1
        if number < self.start:
            return
        step = next(self.steps, None)
        if step is None:
            return
        from_another_thread(lambda: self.write(step))
        self.deleted_at = number if step is DELETED else None
        self.has_deleted |= step is DELETED

    def write(self, step):
        if step is DELETED:
            self.index.delete([TARGET])
        else:
            self.index.add([step])

    @property
    def was_gone_at_the_last_call(self):
        return self.deleted_at is not None and self.deleted_at < self.calls


@pytest.fixture(params=STORIES)
def interrupted(request, engine):
    """Runs an operation again and again, interrupted at its first call, its second, … until there is no more.

    Yields what it returned, and the writer that came in between.
    """
    quiet = Index(engine=engine, encoder=WordEncoder(DIM))

    def run(operation):
        for start in itertools.count():
            quiet.clear()
            quiet.add([*OTHERS[:2], BEFORE, *OTHERS[2:]])
            writer = Writer(quiet, request.param, start)
            proxy = Interrupted(engine, writer)
            found = operation(Index(engine=proxy, encoder=WordEncoder(DIM)))
            yield found, writer
            if writer.calls <= start:
                assert start > 0
                return

    return run


@pytest.fixture
def reranked(request, engine, interrupted):
    """The same for reranking, which without snapshots cannot recognize a document that was put back between calls."""
    story = request.node.callspec.params["interrupted"]
    if REPLACED in STORIES[story] and AS_BEFORE in STORIES[story] and not engine.capabilities.snapshots:
        pytest.skip("no capability: snapshots")
    return interrupted


def quiet_scores(engine, *modes):
    """The scores that the target may have, by its text: its ranks in an undisturbed index, fused; or one of them alone.

    One alone, because the target may not have been there in the other search.
    """
    quiet = Index(engine=engine, encoder=WordEncoder(DIM))
    scores = {}
    for document in (BEFORE, AFTER):
        quiet.clear()
        quiet.add([*OTHERS[:2], document, *OTHERS[2:]])
        ranks = [[hit.id for hit in quiet.search(QUERY, 10, mode=mode)].index(TARGET) + 1 for mode in modes]
        shares = [1 / (60 + rank) for rank in ranks]
        scores[document.text] = [*shares, sum(shares)]
    return scores


def check_target(engine, hits, writer, scores, error):
    """If the target is among the hits, its text and score belong together, and it was there at the last call."""
    for hit in hits:
        if hit.id == TARGET:
            assert hit.document in (BEFORE, AFTER)
            assert hit.score == pytest.approx(scores[hit.text], abs=error)
            assert engine.capabilities.snapshots or not writer.was_gone_at_the_last_call


MAXSIM = {document.text: true_maxsim(QUERY, document.text) for document in (BEFORE, AFTER, *OTHERS)}


def test_the_scores_tell_the_texts_apart():
    assert MAXSIM[BEFORE.text] > MAXSIM[AFTER.text] + 1
    assert max(MAXSIM, key=MAXSIM.get) == BEFORE.text


@cache
def possible_relevances(text):
    """The relevance of a text, by what it is compared with: any state of the target, or nothing."""
    encoder = WordEncoder(DIM)
    query = encoder.encode_queries([QUERY])[0]
    states = [[*OTHERS, *target] for target in ([BEFORE], [AFTER], [])]
    nulls = [null_score(query, encoder.encode_documents([one.text for one in state])) for state in states]
    return [relevance(query, null, MAXSIM[text]) for null in (None, *nulls)]


def check_relevance(text, found):
    assert min(abs(found - one) for one in possible_relevances(text)) < ERROR / 3


def check_others(hits):
    """Nobody touched the others: they are there, with their own scores."""
    assert {hit.id for hit in hits if hit.id != TARGET} == OTHER_IDS
    for hit in hits:
        assert hit.score == pytest.approx(MAXSIM[hit.text], abs=ERROR)


@pytest.mark.parametrize(
    "options", [{}, {"where": {"kind": "fruit"}, "candidates": [TARGET, *OTHER_IDS]}], ids=["all", "restricted"]
)
def test_late(engine, interrupted, options):
    for hits, writer in interrupted(lambda index: index.search(QUERY, 10, **options)):
        check_others(hits)
        check_target(engine, hits, writer, MAXSIM, ERROR)


def test_more_candidates_than_the_engine_takes(engine, interrupted):
    limit = engine.capabilities.max_candidates
    if limit is None:
        pytest.skip(f"{type(engine).__name__} declares no max_candidates")
    candidates = [TARGET, *(f"unknown{number}" for number in range(limit)), *OTHER_IDS]
    for hits, writer in interrupted(lambda index: index.search(QUERY, 10, candidates=candidates)):
        check_others(hits)
        check_target(engine, hits, writer, MAXSIM, ERROR)


def test_lexical(engine, interrupted):
    needs(engine, "lexical")
    quiet = Index(engine=engine, encoder=WordEncoder(DIM))
    scores = {}
    for document in (BEFORE, AFTER):
        quiet.clear()
        quiet.add([*OTHERS[:2], document, *OTHERS[2:]])
        scores[document.text] = next(h.score for h in quiet.search(QUERY, 10, mode="lexical") if h.id == TARGET)
    assert scores[BEFORE.text] > scores[AFTER.text]
    # A server counts deleted documents among those that have a word, until it merges its segments.
    error = (scores[BEFORE.text] - scores[AFTER.text]) / (2 if engine.capabilities.remote else 10)
    for hits, writer in interrupted(lambda index: index.search(QUERY, 10, mode="lexical")):
        check_target(engine, hits, writer, scores, error)
        assert {hit.id for hit in hits if hit.id != TARGET} == OTHER_IDS


def test_hybrid(engine, interrupted):
    needs(engine, "lexical")
    scores = quiet_scores(engine, "late", "lexical")
    for hits, writer in interrupted(lambda index: index.search(QUERY, 10, mode="hybrid")):
        assert {hit.id for hit in hits if hit.id != TARGET} == OTHER_IDS
        for hit in hits:
            if hit.id == TARGET:
                assert any(hit.score == pytest.approx(score) for score in scores[hit.text])
                assert engine.capabilities.snapshots or not writer.was_gone_at_the_last_call


@pytest.mark.parametrize("mode", ["late", "hybrid"])
def test_diversity(engine, interrupted, mode):
    needs(engine, "vectors")
    if mode == "hybrid":
        needs(engine, "lexical")
    for hits, writer in interrupted(lambda index: index.search(QUERY, 3, mode=mode, diversity=0.3)):
        assert 2 <= len({hit.id for hit in hits}) == len(hits) <= 3
        if mode == "late":
            check_target(engine, hits, writer, MAXSIM, ERROR)


def test_explain(engine, interrupted):
    needs(engine, "vectors")

    def explain(index):
        try:
            return index.explain(QUERY, TARGET)
        except UnknownIdError:
            return None

    for explained, writer in interrupted(explain):
        if explained is None:
            assert writer.was_gone_at_the_last_call
        else:
            assert explained.document in (BEFORE, AFTER)
            assert explained.text == explained.document.text
            assert explained.score == pytest.approx(MAXSIM[explained.text], abs=ERROR)


def test_explain_many(engine, interrupted):
    needs(engine, "vectors")
    for explained, _ in interrupted(lambda index: index.explain_many(QUERY, [TARGET, *OTHER_IDS])):
        assert OTHER_IDS <= explained.keys() <= OTHER_IDS | {TARGET}
        for one in explained.values():
            assert one.text == one.document.text
            assert one.score == pytest.approx(MAXSIM[one.text], abs=ERROR)


def test_rerank_ids(engine, reranked):
    def rerank(index):
        try:
            return index.rerank(QUERY, ids=[*OTHER_IDS, TARGET])
        except UnknownIdError as error:
            assert TARGET in str(error)  # noqa: PT017
            return None

    for hits, writer in reranked(rerank):
        if hits is None:
            assert writer.has_deleted  # during the call, or before it
        else:
            check_others(hits)
            check_target(engine, hits, writer, MAXSIM, ERROR)


def test_rerank_documents(engine, reranked):
    """The documents are given, so all of them come, as they are, with their own scores."""
    for hits, _ in reranked(lambda index: index.rerank(QUERY, documents=[*OTHERS, BEFORE])):
        assert {hit.id: hit.document for hit in hits} == {one.id: one for one in (*OTHERS, BEFORE)}
        check_others(hits)


def test_rerank_documents_of_another_text(engine, reranked):
    for hits, _ in reranked(lambda index: index.rerank(QUERY, documents=[*OTHERS, AFTER])):
        assert {hit.id: hit.document for hit in hits} == {one.id: one for one in (*OTHERS, AFTER)}
        check_others(hits)


def test_rerank_and_store(engine, reranked):
    new = Document("a red table", id="new")
    for hits, _ in reranked(lambda index: index.rerank(QUERY, documents=[*OTHERS, BEFORE, new], store=True)):
        assert {hit.id for hit in hits} == {TARGET, "new", *OTHER_IDS}
        assert next(hit for hit in hits if hit.id == TARGET).score == pytest.approx(MAXSIM[BEFORE.text], abs=ERROR)


def test_get_scan_and_contains(engine, interrupted):
    def read(index):
        return index.get([TARGET, *OTHER_IDS]), list(index.scan()), TARGET in index

    for (got, scanned, _), _ in interrupted(read):
        for documents in (got, scanned):
            assert {document.id for document in documents} - {TARGET} == OTHER_IDS
            assert all(one in (BEFORE, AFTER, *OTHERS) for one in documents)


def test_a_document_that_vanishes_while_a_scan_is_read(engine):
    index = Index(engine=engine, encoder=WordEncoder(DIM))
    index.add([*OTHERS[:2], BEFORE, *OTHERS[2:]])
    scan = index.scan()
    first = next(scan)
    from_another_thread(lambda: index.delete([TARGET]))
    ids = [first.id, *(document.id for document in scan)]
    assert [one for one in ids if one != TARGET] == [document.id for document in OTHERS]


@pytest.fixture
def frameworks(engine, interrupted):
    """As `interrupted`; match spans need stored vectors."""
    needs(engine, "vectors")
    return interrupted


def check_spans(text, spans):
    """The words that match are words of this text, at the places they say."""
    for span in spans:
        assert text[span["start"] : span["end"]] == span["document_word"]


class TestLangChain:
    def test_retriever_with_explanations(self, request, engine):
        needs(engine, "vectors")
        spans_belong_to_their_text(request, engine, langchain_spans)

    def test_retriever_with_explanations_raises_nothing(self, frameworks):
        for found, _ in frameworks(langchain_spans):
            assert {key for key, _, _ in found} >= OTHER_IDS

    def test_mmr(self, engine, interrupted):
        needs(engine, "vectors")
        from late_interaction.langchain import LateInteractionVectorStore

        def search(index):
            return LateInteractionVectorStore(index=index).max_marginal_relevance_search(QUERY, 3, fetch_k=5)

        for found, _ in interrupted(search):
            assert 2 <= len(found) <= 3
            assert all(one.page_content in MAXSIM for one in found)

    def test_store_with_scores_and_a_function_as_filter(self, engine, interrupted):
        from late_interaction.langchain import LateInteractionVectorStore

        def search(index):
            store = LateInteractionVectorStore(index=index)
            return store.similarity_search_with_score(QUERY, 10, filter=lambda document: "red" in document.page_content)

        for found, _ in interrupted(search):
            for document, score in found:
                assert score == pytest.approx(MAXSIM[document.page_content], abs=ERROR)

    def test_reranker(self, reranked):
        from langchain_core.documents import Document as LangChainDocument

        from late_interaction.langchain import LateInteractionReranker

        given = [LangChainDocument(one.text, id=one.id) for one in (*OTHERS, BEFORE)]

        def rerank(index):
            return LateInteractionReranker(index=index, top_n=10).compress_documents(given, QUERY)

        for found, _ in reranked(rerank):
            assert len(found) == len(given)
            for one in found:
                check_relevance(one.page_content, one.metadata["relevance_score"])


class TestLlamaIndex:
    def test_retriever_with_explanations(self, request, engine):
        needs(engine, "vectors")
        spans_belong_to_their_text(request, engine, llama_index_spans)

    def test_retriever_with_explanations_raises_nothing(self, frameworks):
        for found, _ in frameworks(llama_index_spans):
            assert {key for key, _, _ in found} >= OTHER_IDS

    def test_rerank(self, reranked):
        from llama_index.core.schema import NodeWithScore, QueryBundle, TextNode

        from late_interaction.llama_index import LateInteractionRerank

        given = [NodeWithScore(node=TextNode(text=one.text, id_=one.id)) for one in (*OTHERS, BEFORE)]

        def rerank(index):
            return LateInteractionRerank(index=index, top_n=10).postprocess_nodes(given, QueryBundle(QUERY))

        for found, _ in reranked(rerank):
            assert len(found) == len(given)
            for one in found:
                check_relevance(one.node.text, one.score)


def spans_belong_to_their_text(request, engine, retrieve):
    quiet = Index(engine=engine, encoder=WordEncoder(DIM))
    for story in STORIES:
        for start in range(6):
            quiet.clear()
            quiet.add([*OTHERS[:2], BEFORE, *OTHERS[2:]])
            index = Index(engine=Interrupted(engine, Writer(quiet, story, start)), encoder=WordEncoder(DIM))
            for _, text, spans in retrieve(index):
                check_spans(text, spans)


def langchain_spans(index):
    """(id, text, match spans) of what the retriever finds."""
    from late_interaction.langchain import LateInteractionRetriever

    found = LateInteractionRetriever(index=index, k=10, explain=True).invoke(QUERY)
    return [(one.id, one.page_content, one.metadata["match_spans"]) for one in found]


def llama_index_spans(index):
    from late_interaction.llama_index import LateInteractionRetriever

    found = LateInteractionRetriever(index=index, similarity_top_k=10, explain=True).retrieve(QUERY)
    return [(one.node.node_id, one.node.text, one.node.metadata["match_spans"]) for one in found]
