"""Opening, closing and reading an `Index` while others write."""

from __future__ import annotations

import threading
import time

import pytest

from late_interaction import Document, Index
from late_interaction.engines import LocalEngine
from late_interaction.errors import (
    IndexLockedError,
    IndexNotFoundError,
    ReadOnlyIndexError,
)
from tests.index.helpers import FACTS, true_maxsim


class TestOpening:
    def test_nothing_is_created_without_an_encoder(self, path, word_encoder):
        with pytest.raises(IndexNotFoundError, match="encoder"):
            Index.open(path)
        with pytest.raises(IndexNotFoundError):
            Index.open(path, encoder=word_encoder, read_only=True)
        assert not path.exists()

    def test_one_writer(self, facts, path, word_encoder):
        with pytest.raises(IndexLockedError, match="read_only"):
            LocalEngine.open(path)
        facts.close()
        Index.open(path, encoder=word_encoder).close()

    def test_readers_see_each_commit_and_write_nothing(self, facts, path, word_encoder):
        with Index.open(path, encoder=word_encoder, read_only=True) as reader:
            for call in (
                lambda: reader.add(["more"]),
                lambda: reader.delete(["nile"]),
                lambda: reader.delete(where={}),
            ):
                with pytest.raises(ReadOnlyIndexError):
                    call()
            assert list(reader.scan()) == FACTS
            facts.add([Document("the elbe flows north", id="elbe")])
            assert reader.search("elbe", k=1)[0].id == "elbe"
            facts.delete(["elbe"])
            facts.compact()
            assert "elbe" not in {hit.id for hit in reader.search("elbe", k=10)}
            assert "elbe" not in reader


class TestConsistency:
    """Every answer is that of one committed state."""

    COUNT = 20

    def version(self, number):
        """A state: all documents again, with other words."""
        words = [f"common word{number} item{item}" for item in range(self.COUNT)]
        return [Document(text, id=f"d{item}", metadata={"v": number}) for item, text in enumerate(words)]

    def test_eight_threads_search_while_one_adds(self, index):
        def check(hits):
            versions = {hit.metadata["v"] for hit in hits}
            assert len(versions) == 1, versions
            assert {hit.id for hit in hits} == {f"d{item}" for item in range(self.COUNT)}
            for hit in hits:
                assert hit.score == pytest.approx(expected[hit.text], abs=1e-3)
            return versions.pop()

        def search():
            try:
                while not done.is_set():
                    seen.append(check(index.search("common word3", k=100)))
                    assert len({hit.metadata["v"] for hit in index.search("common", 100, mode="lexical")}) == 1
            except BaseException as error:  # noqa: BLE001  # told to the main thread
                failures.append(error)

        versions = [self.version(number) for number in range(12)]
        expected = {document.text: true_maxsim("common word3", document.text) for v in versions for document in v}
        index.add(versions[0])
        done, seen, failures = threading.Event(), [], []
        threads = [threading.Thread(target=search) for _ in range(8)]
        for thread in threads:
            thread.start()
        for documents in versions[1:]:
            index.add(documents)
        deadline = time.monotonic() + 30
        while not failures and (not seen or max(seen) < 11) and time.monotonic() < deadline:
            done.wait(0.01)
        done.set()
        for thread in threads:
            thread.join()
        assert failures == []
        assert max(seen) == 11
        assert index.verify()

    def interpose(self, index, monkeypatch, write):
        """Let another thread's write come to pass between the first and the second read of the engine."""

        def interposed(read):
            def wrapped(*args, **kwargs):
                answer = read(*args, **kwargs)
                if not written:
                    written.append(True)
                    thread = threading.Thread(target=write)
                    thread.start()
                    thread.join()
                return answer

            return wrapped

        written = []
        for name in ("search", "search_lexical", "get", "vectors"):
            monkeypatch.setattr(index.engine, name, interposed(getattr(index.engine, name)))

    def test_hybrid_search_sees_one_state(self, index, monkeypatch):
        index.add(self.version(1))
        self.interpose(index, monkeypatch, lambda: index.add(self.version(2)))
        hits = index.search("item3", k=self.COUNT, mode="hybrid")
        assert [hit.metadata["v"] for hit in hits] in ([1] * self.COUNT, [2] * self.COUNT)

    def test_rerank_scores_the_text_it_was_given(self, index, monkeypatch):
        old = Document("the old text", id="x")
        index.add([old])
        self.interpose(index, monkeypatch, lambda: index.add([Document("something new", id="x")]))
        hit = index.rerank("old", documents=[old])[0]
        assert hit.score == pytest.approx(1, abs=1e-3)

    @pytest.mark.parametrize("new", ["long", "a text longer than before with long at its end long"])
    def test_explain_sees_one_state(self, index, monkeypatch, new):
        index.add([Document("a long text", id="x")])
        self.interpose(index, monkeypatch, lambda: index.add([Document(new, id="x")]))
        explanation = index.explain("long", "x")
        assert explanation.score == pytest.approx(1, abs=1e-3)
        assert [span.document_word for span in explanation.spans] == ["long"]
