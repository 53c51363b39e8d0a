"""Random trees and runs against a model: after each run the index holds the passages of the files, and no others.

The model is a mapping from absolute paths to numbered paragraphs. It knows nothing of names: where a stored passage is
from is read off the roots that the index remembers.
"""

from __future__ import annotations

import os
import shutil
import tempfile
from pathlib import Path

import pytest
from hypothesis import HealthCheck, note, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule, run_state_machine_as_test

from late_interaction import Document, Index
from late_interaction.errors import InvalidRequestError
from late_interaction.ingestion import update, updating
from late_interaction.ingestion.roots import Roots, real_path
from late_interaction.readers import read_paths
from tests.fakes import WordEncoder

FOLDERS = ["", "a", "a/b", "a/b/c", "d", "d/e"]
LINKS = {"l": "a", "d/link": "../a/b"}
FILES = ["x.txt", "y.txt"]
PLACES = [*FOLDERS, *LINKS, *(f"{folder}/x.txt".lstrip("/") for folder in FOLDERS)]

folders = st.sampled_from(FOLDERS)
places = st.lists(st.sampled_from(PLACES), min_size=1, max_size=3)


class Failing(WordEncoder):
    """An encoder that fails after so many passages, if it is told to."""

    left = None

    def encode_documents(self, texts):
        if self.left is not None:
            self.left -= len(texts)
            if self.left < 0:
                raise RuntimeError("interrupted")
        return super().encode_documents(texts)


class Sources(RuleBasedStateMachine):
    @initialize(first=st.lists(folders, max_size=3))
    def begin(self, first):
        self.base = Path(os.path.realpath(tempfile.mkdtemp()))
        self.work = self.base / "work"
        for folder in FOLDERS:
            (self.work / folder).mkdir(exist_ok=True, parents=True)
        for name, target in LINKS.items():
            (self.work / name).symlink_to(target)
        for number, folder in enumerate(FOLDERS[:4]):
            (self.work / folder / "x.txt").write_text(f"words {number}")
        self.encoder = Failing(dim=4)
        self.index = Index.open(self.base / "index", encoder=self.encoder, bits=None)
        self.held = {}  # by path: the paragraphs by number
        self.own = {}  # documents of the API by id
        self.fresh = 0
        for folder in first:  # so that there are several roots, some of them in others
            os.chdir(self.work / folder)
            self.expect([self.work / folder], allow_empty=False)

    def teardown(self):
        self.index.close()
        os.chdir(self.home)
        shutil.rmtree(self.base)

    home = Path.cwd()

    @rule(folder=folders, name=st.sampled_from(FILES), paragraphs=st.lists(st.integers(0, 9), max_size=4))
    def write(self, folder, name, paragraphs):
        path = self.work / folder / name
        if path.parent.is_dir():
            path.write_text("\n\n".join(f"words {number}" for number in paragraphs))

    @rule(folder=folders, name=st.sampled_from(FILES))
    def remove_file(self, folder, name):
        (self.work / folder / name).unlink(missing_ok=True)

    @rule(folder=st.sampled_from(FOLDERS[1:]), keep=st.booleans())
    def remove_folder(self, folder, keep):
        path = self.work / folder
        if path.is_dir():
            shutil.rmtree(path)
            if keep:
                path.mkdir()

    @rule(folder=st.sampled_from(FOLDERS[1:]))
    def make_folder(self, folder):
        (self.work / folder).mkdir(exist_ok=True, parents=True)

    @rule(folder=st.sampled_from(FOLDERS[1:]))
    def rename_folder(self, folder):
        if (self.work / folder).is_dir():
            self.fresh += 1
            (self.work / folder).rename(self.work / f"renamed{self.fresh}")

    @rule(pick=st.randoms(use_true_random=False))
    def move_root(self, pick):
        movable = [root for root in Roots(self.index.engine) if root.path.is_dir() and root.path != self.work]
        movable = [root for root in movable if root.path.is_relative_to(self.work)]
        if not movable:
            return
        root = pick.choice(movable)
        mine = {path for number, path, *_ in self.passages() if number == root.number}
        self.fresh += 1
        new = self.work / f"moved{self.fresh}"
        root.path.rename(new)
        Roots(self.index.engine).move(f"{root.label}={new}")
        self.held = {
            (new / path.relative_to(root.path) if path in mine else path): texts for path, texts in self.held.items()
        }

    @rule(pick=st.randoms(use_true_random=False), text=st.sampled_from(["mine", "words 0"]))
    def add_through_the_api(self, pick, text):
        """Also under an id of a file's passage, or one that will be."""
        stored = [document.id for document in self.index.scan()]
        names = [*stored, "a/x.txt#0", "x.txt#0", "x.txt#1", "work//a/x.txt#0", "b//x.txt#0"]
        document = Document(text, id=pick.choice(names), metadata={"source": "a/x.txt", "passage": 7})
        for _, path, number, replaced in list(self.passages()):
            if replaced.id == document.id:
                del self.held[path][number]
                self.held = {path: texts for path, texts in self.held.items() if texts}
        self.index.add([document])
        self.own[document.id] = document

    @rule(
        here=folders,
        chosen=places,
        spelling=st.sampled_from(["relative", "absolute", "roundabout"]),
        allow_empty=st.booleans(),
        stop=st.none() | st.integers(0, 6),
        breaks=st.sampled_from(["reader", "encoder"]),
    )
    def run(self, here, chosen, spelling, allow_empty, stop, breaks):
        here = self.work / here
        given = [path for path in (self.work / place for place in chosen) if path.exists()]
        if not here.is_dir() or not given:
            return
        os.chdir(here)
        if spelling == "relative":
            given = [os.path.relpath(path, here.resolve()) for path in given]
        elif spelling == "roundabout":
            given = [f"../{here.resolve().name}/{os.path.relpath(path, here.resolve())}" for path in given]
        note(f"run in {here}: {given}")
        given = [real_path(place) for place in given]  # as the command line does
        if stop is not None:
            self.interrupt(given, stop, breaks)
            self.holds_what_the_model_says()
        self.expect(given, allow_empty)

    def interrupt(self, given, stop, breaks):
        def cut(documents):
            for number, document in enumerate(documents):
                if number >= stop:
                    raise RuntimeError("interrupted")
                yield document

        documents = read_paths(given, max_chars=8)
        self.encoder.left = stop if breaks == "encoder" else None
        try:
            update(self.index, documents if breaks == "encoder" else cut(documents), roots=given, on_skip=self.skip)
        except (RuntimeError, InvalidRequestError):
            pass
        finally:
            self.encoder.left = None
        # Any part of it may have happened. The next run has to come to the right end from here.
        stored = self.stored()
        untouched = {path: texts for path, texts in self.held.items() if not self.is_in(path, given)}
        self.held = untouched | {path: texts for path, texts in stored.items() if self.is_in(path, given)}

    def expect(self, given, allow_empty):
        found = {}
        for place in given:
            found.update(files_at(place))
        vanished = {path for path in self.held if self.is_in(path, given) and path not in found}
        gone = vanished - set(found)
        refused = False
        if not allow_empty:
            roots = {number: Path(record["path"]) for number, record in self.index.engine.roots.items()}
            from_roots = {(roots[str(number)], path) for number, path, *_ in self.passages()}
            refused = any(path in gone and not root.is_dir() for root, path in from_roots)
            for place in given:
                lost = {path for path in gone if self.is_in(path, [place])}
                refused |= bool(lost) and not any(self.is_in(path, [place]) for path in found)
        try:
            update(
                self.index,
                read_paths(given, max_chars=8),
                roots=given,
                allow_empty=allow_empty,
                on_skip=self.skip,
            )
        except InvalidRequestError:
            assert refused
            # Nothing was deleted, of files that are shorter now neither; the next run will.
            update(self.index, read_paths(given, max_chars=8), roots=given, allow_empty=True, on_skip=self.skip)
            allow_empty = True
        else:
            assert not refused
        for path in gone:
            if allow_empty or not self.looks_unmounted(path, given):
                del self.held[path]
        self.held = {path: texts for path, texts in self.held.items() if path not in found}
        roots = Roots(self.index.engine)
        for path, texts in found.items():
            # A passage whose id is that of a document of the API is skipped. If all are, the root is not recorded.
            root = roots.of(path)
            kept = {n: text for n, text in enumerate(texts) if root and f"{root.name_of(path)}#{n}" not in self.own}
            assert root or self.own or not texts
            if kept:
                self.held[path] = kept

    def skip(self, path, reason):
        note(f"skipped {path}: {reason}")

    @staticmethod
    def is_in(path, given):
        return any(path == place or place in path.parents for place in given)

    def looks_unmounted(self, path, given):
        parent = path.parent
        while not parent.is_dir():
            parent = parent.parent
        return self.is_in(parent, given) and not any(parent.iterdir())

    def passages(self):
        """(root, path, number, document) of what was read from files."""
        roots = self.index.engine.roots
        for number, record in roots.items():
            prefix = f"{record['label']}//" if record["label"] else ""
            for document in self.index.engine.scan(root=int(number)):
                source = document.metadata["source"]
                assert source.startswith(prefix)
                assert document.id == f"{source}#{document.metadata['passage']}"
                path = Path(record["path"]) / source.removeprefix(prefix)
                yield int(number), path, document.metadata["passage"], document

    def stored(self):
        found = {}
        for _, path, number, document in self.passages():
            assert number not in found.setdefault(path, {}), f"{path} is there twice"
            found[path][number] = document.text
        return found

    @invariant()
    def holds_what_the_model_says(self):
        if hasattr(self, "index"):
            assert self.stored() == self.held
            assert {document.id: document for document in self.index.get(list(self.own))} == self.own
            assert len(self.index) == len(self.own) + sum(map(len, self.held.values()))


def files_at(place):
    """The paragraphs of the text files at a place, by path, as `os.walk` finds them."""
    files = [place] if place.is_file() else []
    for folder, _, names in os.walk(place, followlinks=True):
        files += [Path(folder, name) for name in names if name.endswith(".txt")]
    return {path: paragraphs(path) for path in files}


def paragraphs(path):
    return tuple(text for text in path.read_text().split("\n\n") if text)


def check(monkeypatch, **limits):
    monkeypatch.setattr(updating, "_COMMIT_PASSAGES", 2)
    quick = settings(deadline=None, suppress_health_check=list(HealthCheck), print_blob=True, **limits)
    run_state_machine_as_test(Sources, settings=quick)


def test_a_few_runs(monkeypatch):
    check(monkeypatch, max_examples=20, stateful_step_count=15, derandomize=True)


@pytest.mark.slow
def test_many_runs(monkeypatch):
    check(monkeypatch, max_examples=300, stateful_step_count=25)
