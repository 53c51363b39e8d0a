"""Random calls of the client's methods, for comparing two clients."""

from __future__ import annotations

import uuid

import numpy as np
from qdrant_client.http import models

DIM = 4
WORDS = ["red", "green", "blue", "dark red", "Red", "greenish"]
IDS = [*range(12), *(str(uuid.UUID(int=number)) for number in range(12))]


class RandomCalls:
    """Calls that follow from a seed, as functions of a client."""

    def __init__(self, seed: int):
        self.rng = np.random.default_rng(seed)

    def _one(self, choices):
        return choices[self.rng.integers(len(choices))]

    def _some(self, choices, most=4):
        return [choices[place] for place in self.rng.permutation(len(choices))[: self.rng.integers(1, most + 1)]]

    def _dense(self):
        return np.round(self.rng.normal(size=DIM), 3).tolist()

    def _tokens(self):
        return [self._dense() for _ in range(self.rng.integers(1, 5))]

    def _sparse(self):
        indices = sorted(self._some(list(range(8))))
        return models.SparseVector(indices=indices, values=np.round(self.rng.random(len(indices)) + 0.1, 3).tolist())

    def _vectors(self):
        vectors = {"tokens": self._tokens(), "mean": self._dense(), "words": self._sparse(), "ids": self._sparse()}
        return {name: vectors[name] for name in self._some(list(vectors))}

    def _payload(self):
        payload = {
            "color": self._one([*WORDS, None]),
            "n": int(self.rng.integers(-3, 8)),
            "ratio": float(np.round(self.rng.normal(), 2)),
            "tags": self._some(WORDS) if self.rng.random() < 0.8 else [],
            "ok": bool(self.rng.random() < 0.5),
            "parts": [{"a": int(a), "b": int(b)} for a, b in self.rng.integers(0, 4, (self.rng.integers(3), 2))],
            "deep": {"er": {"n": int(self.rng.integers(3)), "none": None}},
        }
        return {name: payload[name] for name in self._some(list(payload), most=7)}

    def _points(self):
        ids = self._some(IDS, most=5)
        return [models.PointStruct(id=each, vector=self._vectors(), payload=self._payload()) for each in ids]

    def filter(self, depth=2):
        """Return a filter, or None."""
        if self.rng.random() < 0.2:
            return None
        clauses = {name: self._conditions(depth) for name in self._some(["must", "should", "must_not"], most=2)}
        if self.rng.random() < 0.2:
            conditions = self._conditions(depth, 3)
            clauses["min_should"] = models.MinShould(conditions=conditions, min_count=int(self.rng.integers(1, 3)))
        return models.Filter(**clauses)

    def _conditions(self, depth, most=2):
        return [self._condition(depth) for _ in range(self.rng.integers(1, most + 1))]

    def _condition(self, depth):
        if depth and self.rng.random() < 0.2:
            return self.filter(depth - 1) or models.HasIdCondition(has_id=self._some(IDS))
        number, word = int(self.rng.integers(-3, 8)), self._one(WORDS)
        field = models.FieldCondition
        return self._one(
            [
                field(key="color", match=models.MatchValue(value=word)),
                field(key="tags", match=models.MatchValue(value=word)),
                field(key="tags", match=models.MatchAny(any=self._some(WORDS))),
                field(key="color", match=models.MatchExcept(**{"except": self._some(WORDS)})),
                field(key="color", match=models.MatchSubstring(substring=self._one(["re", "d", "Re", "zz"]))),
                field(key="n", match=models.MatchValue(value=number)),
                field(key="ok", match=models.MatchValue(value=bool(number % 2))),
                field(key="n", range=models.Range(gte=number, lt=number + 3)),
                field(key="ratio", range=models.Range(gt=0.1)),
                field(key="deep.er.n", range=models.Range(lte=1)),
                field(key="parts[].a", match=models.MatchValue(value=1)),
                field(key="tags", values_count=models.ValuesCount(gte=1, lt=3)),
                models.IsEmptyCondition(
                    is_empty=models.PayloadField(key=self._one(["tags", "color", "parts", "deep"]))
                ),
                models.IsNullCondition(is_null=models.PayloadField(key=self._one(["color", "deep.er.none", "tags"]))),
                models.HasIdCondition(has_id=self._some(IDS, most=9)),
                models.HasVectorCondition(has_vector=self._one(["tokens", "words"])),
                models.NestedCondition(
                    nested=models.Nested(
                        key="parts",
                        filter=models.Filter(
                            must=[
                                field(key="a", match=models.MatchValue(value=number % 4)),
                                field(key="b", range=models.Range(gte=1)),
                            ]
                        ),
                    )
                ),
            ]
        )

    def _selector(self):
        return self._one(
            [
                True,
                False,
                ["color", "deep.er.n"],
                models.PayloadSelectorInclude(include=["tags"]),
                models.PayloadSelectorExclude(exclude=["tags", "deep.er"]),
            ]
        )

    def _chosen(self):
        chosen = models.Filter(must=[models.HasIdCondition(has_id=self._some(IDS))])
        return self._one([chosen, models.FilterSelector(filter=self.filter() or chosen)])

    def write(self):
        """Return a call that changes a collection: the name of the method and its arguments."""
        points = self._points()
        selected, ids = self._chosen(), self._some(IDS)
        payload = {name: value for name, value in self._payload().items() if value is not None}
        batch = [
            models.UpsertOperation(upsert=models.PointsList(points=points)),
            models.SetPayloadOperation(set_payload=models.SetPayload(payload={"n": 3}, points=[points[0].id])),
            models.DeleteOperation(delete=models.PointIdsList(points=[points[-1].id])),
        ]
        return self._one(
            [
                ("upsert", {"points": points}),
                ("upsert", {"points": points}),
                ("upsert", {"points": points, "update_mode": models.UpdateMode.INSERT_ONLY}),
                ("delete", {"points_selector": ids[:2]}),
                ("set_payload", {"payload": payload, "points": selected}),
                ("overwrite_payload", {"payload": payload, "points": selected}),
                ("delete_payload", {"keys": ["tags", "deep"], "points": selected}),
                ("clear_payload", {"points_selector": selected}),
                ("delete_vectors", {"vectors": ["words"], "points": selected}),
                ("batch_update_points", {"update_operations": batch}),
            ]
        )

    def read(self):
        """Return a call that reads, whose result does not depend on the order of equal scores."""
        filter_, selector, limit, ids = self.filter(), self._selector(), int(self.rng.integers(1, 30)), self._some(IDS)
        named = self._one([True, False, ["tokens", "words"]])
        dense, tokens, sparse = self._dense(), self._tokens(), self._sparse()
        prefetch = [
            models.Prefetch(query=dense, using="mean", limit=limit, filter=filter_),
            models.Prefetch(query=sparse, using="ids", limit=limit),
        ]
        options = {"with_payload": selector, "with_vectors": named}
        limited = {**options, "limit": limit}
        batch = [
            models.QueryRequest(query=dense, using="mean", limit=limit, filter=filter_),
            models.QueryRequest(query=tokens, using="tokens", limit=limit, with_payload=selector),
        ]
        return self._one(
            [
                ("count", {"count_filter": filter_}),
                ("scroll", {"scroll_filter": filter_, "offset": ids[0], **limited}),
                ("retrieve", {"ids": ids, **options}),
                ("query_points", {"query": dense, "using": "mean", "query_filter": filter_, **limited}),
                ("query_points", {"query": tokens, "using": "tokens", "query_filter": filter_, **limited}),
                ("query_points", {"query": sparse, "using": "ids", "query_filter": filter_, **limited}),
                ("query_points", {"query": tokens, "using": "tokens", "prefetch": prefetch, **limited}),
                ("query_points", {"query": tokens, "using": "tokens", "score_threshold": 0.5, **limited}),
                ("query_batch_points", {"requests": batch}),
            ]
        )
