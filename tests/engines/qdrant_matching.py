"""Which documents pass a compiled filter: asked of the client's local mode and of Qdrant Edge."""

from __future__ import annotations

import json
import uuid

import qdrant_edge as edge
from qdrant_client import QdrantClient, models
from qdrant_client.conversions.conversion import GrpcToRest, RestToGrpc

from late_interaction.engines.qdrant.field_indexes import indexes_for
from late_interaction.engines.qdrant.filter_fields import FILTER, filter_fields
from late_interaction.engines.qdrant.filters import PAYLOAD_INDEXES
from tests.qdrant_edge.schemas import edge_field_schema

NAME = "documents"


def payloads(collection, texts=None):
    texts = texts or [""] * len(collection)
    return [{"text": text, FILTER: filter_fields(one)} for text, one in zip(texts, collection, strict=True)]


class LocalMode:
    """The client's own implementation in Python. Filters come to it through JSON and through gRPC's messages."""

    def __init__(self, collection, texts=None):
        self.client = QdrantClient(":memory:")
        self.client.create_collection(NAME, vectors_config={})
        points = [
            models.PointStruct(id=number, vector={}, payload=json.loads(json.dumps(payload, sort_keys=True)))
            for number, payload in enumerate(payloads(collection, texts))
        ]
        self.client.upsert(NAME, points)
        self.count = len(points)

    def passing(self, compiled):
        through_json = models.Filter.model_validate_json(compiled.model_dump_json())
        through_grpc = GrpcToRest.convert_filter(RestToGrpc.convert_filter(through_json))
        found, _ = self.client.scroll(NAME, scroll_filter=through_grpc, limit=self.count, with_payload=False)
        return sorted(point.id for point in found)

    def close(self):
        self.client.close()


class Edge:
    """Qdrant's engine in Rust. With ``indexes``, those that the engine makes."""

    def __init__(self, folder, collection, texts=None, *, indexes=True):
        folder = folder / uuid.uuid4().hex
        folder.mkdir()
        config = edge.EdgeConfig(vectors={"none": edge.EdgeVectorParams(size=1, distance=edge.Distance.Dot)})
        self.shard = edge.EdgeShard.create(str(folder), config)
        stored = payloads(collection, texts)
        for key, schema in self._schemas(stored).items() if indexes else ():
            self.shard.update(edge.UpdateOperation.create_field_index(key, edge_field_schema(schema)))
        points = [edge.Point(number, {}, one) for number, one in enumerate(stored)]
        self.shard.update(edge.UpdateOperation.upsert_points(points))
        self.count = len(points)

    def _schemas(self, stored):
        return PAYLOAD_INDEXES | {key: schema for one in stored for key, schema in indexes_for(one[FILTER])}

    def passing(self, compiled):
        request = edge.ScrollRequest(
            filter=edge_filter(compiled), limit=self.count, with_payload=False, with_vector=False
        )
        return sorted(point.id for point in self.shard.scroll(request)[0])

    def close(self):
        self.shard.close()


def edge_filter(given):
    """The same filter in the classes of Edge."""
    parts = {name: getattr(given, name) for name in ("must", "should", "must_not")}
    return edge.Filter(**{name: [edge_condition(one) for one in some] for name, some in parts.items() if some})


def edge_condition(given):
    match given:
        case models.Filter():
            return edge_filter(given)
        case models.NestedCondition(nested=nested):
            return edge.NestedCondition(nested.key, edge_filter(nested.filter))
        case models.FieldCondition(key=key, range=models.Range() as limits):
            # A server parses a JSON text, and so changes floats that are not decimals.
            return edge.FieldCondition(key, range=edge.RangeFloat(**limits.model_dump(exclude_none=True)))
        case models.FieldCondition(key=key, match=models.MatchAny(any=some)):
            return edge.FieldCondition(key, match=edge.MatchAny(some))
        case models.FieldCondition(key=key, match=models.MatchValue(value=value)):
            return edge.FieldCondition(key, match=edge.MatchValue(value))
        case models.FieldCondition(key=key, match=models.MatchSubstring(substring=substring)):
            return edge.FieldCondition(key, match=edge.MatchSubstring(substring))
    raise TypeError(given)
