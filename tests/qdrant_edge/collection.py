"""One collection: a shard of Edge, and a small file for what Edge does not keep."""

from __future__ import annotations

import shutil
import threading
from typing import TYPE_CHECKING

import pydantic
import qdrant_edge as edge
from qdrant_client.http import models

from .errors import edge_errors, unsupported, wrong_input
from .filters import edge_filter, point_id
from .queries import checked_limit, edge_order, edge_query, missing_vector
from .schemas import changed_config, client_config, edge_config, edge_field_schema
from .vectors import (
    client_record,
    client_scored_point,
    edge_payload_selector,
    edge_points,
    edge_vectors,
)

if TYPE_CHECKING:
    from pathlib import Path

_CONFIG_FILE = "collection.json"
_SHARD = "shard"
_MIN_POINTS_TO_OPTIMIZE = 20_000
_FACETS = 10


class Saved(models.CreateCollection):
    """What is kept of a collection beside its shard: how it was created and changed, and its payload indexes."""

    has_wal: bool = True
    indexes: dict[str, models.PayloadFieldSchema] = pydantic.Field(default_factory=dict)


class Collection:
    """Carry out requests, one at a time: the arguments are bodies of the REST interface, the results its results."""

    def __init__(self, folder: Path, saved: Saved, shard: edge.EdgeShard):
        self._folder = folder
        self._saved = saved
        self._shard = shard
        self._lock = threading.RLock()
        self._operation = 0
        self._points_since_optimized = 0
        self._points_when_optimized = self.points_count()

    @classmethod
    def create(cls, folder: Path, created: models.CreateCollection, *, has_wal: bool) -> Collection:
        """Create the folder of a collection."""
        saved = Saved(**dict(created), has_wal=has_wal)
        with edge_errors():
            config = edge_config(saved, has_wal=has_wal)
            folder.mkdir(parents=True)
            try:
                shard = edge.EdgeShard.create(str(folder / _SHARD), config)
            except BaseException:
                shutil.rmtree(folder)
                raise
        _save(folder, saved)
        return cls(folder, saved, shard)

    @classmethod
    def open(cls, folder: Path) -> Collection:
        """Open the folder of a collection."""
        saved = Saved.model_validate_json((folder / _CONFIG_FILE).read_bytes())
        with edge_errors():
            shard = edge.EdgeShard.load(str(folder / _SHARD), edge_config(saved, has_wal=saved.has_wal))
        return cls(folder, saved, shard)

    @staticmethod
    def is_in(folder: Path) -> bool:
        """Return whether the folder holds a collection whose creation was completed."""
        return (folder / _CONFIG_FILE).exists()

    def close(self) -> None:
        """Write everything and release the files."""
        with self._lock:
            self._shard.flush()
            self._shard.close()

    def drop(self) -> None:
        """Delete the collection."""
        with self._lock:
            self._shard.close()
            shutil.rmtree(self._folder)

    def optimize(self) -> bool:
        """Merge, index and quantize segments, which a server does in the background."""
        with self._lock, edge_errors():
            done = self._shard.optimize()
            self._points_since_optimized = 0
            self._points_when_optimized = self.points_count()
            return done

    # configuration

    def points_count(self) -> int:
        """Return the number of points."""
        return self._shard.count(edge.CountRequest(exact=True))

    def info(self) -> models.CollectionInfo:
        """Return the state and configuration of the collection."""
        with self._lock, edge_errors():
            shard = self._shard.info()
            indexes = {name: self._index_info(name, info) for name, info in shard.payload_schema.items()}
            return models.CollectionInfo(
                status=models.CollectionStatus.GREEN,
                optimizer_status=models.OptimizersStatusOneOf.OK,
                indexed_vectors_count=shard.indexed_vectors_count,
                points_count=self.points_count(),
                segments_count=shard.segments_count,
                config=client_config(self._saved),
                payload_schema=indexes,
            )

    def _index_info(self, name, info) -> models.PayloadIndexInfo:
        schema = self._saved.indexes[name]
        is_type = isinstance(schema, (str, models.PayloadSchemaType))
        return models.PayloadIndexInfo(
            data_type=schema if is_type else schema.type.value,
            params=None if is_type else schema,
            points=info.points,
        )

    def change(self, change: models.UpdateCollection) -> bool:
        """Change the configuration; settings of the shard apply at once, quantization with the next optimization."""
        with self._lock, edge_errors():
            new = changed_config(self._saved, change)
            if set(change.model_dump(exclude_none=True)) - {"metadata"}:
                self._shard.close()
                self._shard = edge.EdgeShard.load(str(self._folder / _SHARD), edge_config(new, has_wal=new.has_wal))
            _save(self._folder, new)
            self._saved = new
            return True

    def create_index(self, request: models.CreateFieldIndex) -> models.UpdateResult:
        """Index a payload field."""
        if request.field_schema is None:
            raise unsupported("a payload index without a type")
        with self._lock:
            schema = edge_field_schema(request.field_schema)
            result = self._apply(edge.UpdateOperation.create_field_index(request.field_name, schema))
            self._saved.indexes[request.field_name] = request.field_schema
            _save(self._folder, self._saved)
            return result

    def delete_index(self, field_name: str) -> models.UpdateResult:
        """Delete the index of a payload field."""
        with self._lock:
            result = self._apply(edge.UpdateOperation.delete_field_index(field_name))
            self._saved.indexes.pop(field_name, None)
            _save(self._folder, self._saved)
            return result

    # writing

    def _apply(self, *operations: edge.UpdateOperation) -> models.UpdateResult:
        with self._lock, edge_errors():
            for operation in operations:
                self._shard.update(operation)
            self._operation += 1
            return models.UpdateResult(operation_id=self._operation, status=models.UpdateStatus.COMPLETED)

    def _apply_to(self, name: str, request, *arguments, **named) -> models.UpdateResult:
        """Apply an operation to points by their ids or by a filter."""
        make = edge.UpdateOperation
        if request.points is not None:
            return self._apply(getattr(make, name)([point_id(each) for each in request.points], *arguments, **named))
        if request.filter is None:
            raise wrong_input("Either `points` or `filter` must be provided")
        return self._apply(getattr(make, f"{name}_by_filter")(edge_filter(request.filter), *arguments, **named))

    def upsert(self, request: models.PointInsertOperations) -> models.UpdateResult:
        """Insert or replace points. As in the server, points before one that is refused stay."""
        mode = (
            request.update_mode
            and {
                models.UpdateMode.UPSERT: edge.UpdateMode.Upsert,
                models.UpdateMode.INSERT_ONLY: edge.UpdateMode.InsertOnly,
                models.UpdateMode.UPDATE_ONLY: edge.UpdateMode.UpdateOnly,
            }[request.update_mode]
        )
        with self._lock, edge_errors():
            points = edge_points(request)
            operation = edge.UpdateOperation.upsert_points(points, edge_filter(request.update_filter), mode)
            result = self._apply(operation)
            self._points_since_optimized += len(points)
            if self._points_since_optimized > max(_MIN_POINTS_TO_OPTIMIZE, self._points_when_optimized):
                self.optimize()
            return result

    def delete_points(self, request: models.PointsSelector) -> models.UpdateResult:
        """Delete points by their ids or by a filter."""
        if isinstance(request, models.PointIdsList):
            ids = [point_id(each) for each in request.points]
            return self._apply(edge.UpdateOperation.delete_points(ids))
        return self._apply(edge.UpdateOperation.delete_points_by_filter(edge_filter(request.filter)))

    def update_vectors(self, request: models.UpdateVectors) -> models.UpdateResult:
        """Replace vectors of points, other vectors of the same points stay."""
        with edge_errors():
            points = [edge.PointVectors(point_id(each.id), edge_vectors(each.vector)) for each in request.points]
            return self._apply(edge.UpdateOperation.update_vectors(points, edge_filter(request.update_filter)))

    def delete_vectors(self, request: models.DeleteVectors) -> models.UpdateResult:
        """Delete vectors by their names."""
        return self._apply_to("delete_vectors", request, request.vector)

    def set_payload(self, request: models.SetPayload) -> models.UpdateResult:
        """Set fields of payloads, other fields stay."""
        return self._apply_to("set_payload", request, request.payload, key=request.key)

    def overwrite_payload(self, request: models.SetPayload) -> models.UpdateResult:
        """Replace payloads."""
        return self._apply_to("overwrite_payload", request, request.payload, key=request.key)

    def delete_payload(self, request: models.DeletePayload) -> models.UpdateResult:
        """Delete fields of payloads."""
        return self._apply_to("delete_payload", request, request.keys)

    def clear_payload(self, request: models.PointsSelector) -> models.UpdateResult:
        """Delete payloads."""
        if isinstance(request, models.PointIdsList):
            return self._apply(edge.UpdateOperation.clear_payload([point_id(each) for each in request.points]))
        return self._apply(edge.UpdateOperation.clear_payload_by_filter(edge_filter(request.filter)))

    def batch(self, request: models.UpdateOperations) -> list[models.UpdateResult]:
        """Apply several operations in their order, until one fails."""
        return [self._operate(each) for each in request.operations]

    def _operate(self, operation) -> models.UpdateResult:
        methods = {
            models.UpsertOperation: ("upsert", self.upsert),
            models.DeleteOperation: ("delete", self.delete_points),
            models.SetPayloadOperation: ("set_payload", self.set_payload),
            models.OverwritePayloadOperation: ("overwrite_payload", self.overwrite_payload),
            models.DeletePayloadOperation: ("delete_payload", self.delete_payload),
            models.ClearPayloadOperation: ("clear_payload", self.clear_payload),
            models.UpdateVectorsOperation: ("update_vectors", self.update_vectors),
            models.DeleteVectorsOperation: ("delete_vectors", self.delete_vectors),
        }
        field, method = methods[type(operation)]
        return method(getattr(operation, field))

    # reading

    def count(self, request: models.CountRequest) -> models.CountResult:
        """Count points."""
        with self._lock, edge_errors():
            exact = request.exact is not False
            count = self._shard.count(edge.CountRequest(exact=exact, filter=edge_filter(request.filter)))
            return models.CountResult(count=count)

    def scroll(self, request: models.ScrollRequest) -> models.ScrollResult:
        """Return points in the order of their ids, or of a payload field."""
        if request.order_by is not None and request.offset is not None:
            raise wrong_input(
                "Cannot use an `offset` when using `order_by`. The alternative for paging is to use "
                "`order_by.start_from` and a filter to exclude the IDs that you've already seen for the "
                "`order_by.start_from` value"
            )
        with self._lock, edge_errors():
            points, offset = self._shard.scroll(
                edge.ScrollRequest(
                    offset=None if request.offset is None else point_id(request.offset),
                    limit=checked_limit(request.limit),
                    filter=edge_filter(request.filter),
                    with_payload=edge_payload_selector(request.with_payload, default=True),
                    with_vector=bool(request.with_vector) if request.with_vector is None else request.with_vector,
                    order_by=edge_order(request.order_by),
                )
            )
        return models.ScrollResult.model_construct(
            points=[client_record(each) for each in points],
            next_page_offset=offset if offset is None or isinstance(offset, int) else str(offset),
        )

    def retrieve(self, request: models.PointRequest) -> list[models.Record]:
        """Return points by their ids, without those that do not exist."""
        with self._lock, edge_errors():
            records = self._shard.retrieve(
                [point_id(each) for each in request.ids],
                edge_payload_selector(request.with_payload, default=True),
                request.with_vector or False,
            )
        return [client_record(each) for each in records]

    def query(self, request: models.QueryRequest) -> models.QueryResponse:
        """Return the best points."""
        with self._lock, edge_errors():
            found = self._shard.query(edge_query(request, self._find_vector))
        return models.QueryResponse.model_construct(points=[client_scored_point(each) for each in found])

    def query_batch(self, request: models.QueryRequestBatch) -> list[models.QueryResponse]:
        """Return the best points of each query."""
        with self._lock, edge_errors():
            queries = [edge_query(each, self._find_vector) for each in request.searches]
            found = self._shard.query_batch(edge.QueryBatchRequest(queries))
        return [
            models.QueryResponse.model_construct(points=[client_scored_point(each) for each in points])
            for points in found
        ]

    def facet(self, request: models.FacetRequest) -> models.FacetResponse:
        """Count the values of a payload field."""
        with self._lock, edge_errors():
            limit, exact = request.limit or _FACETS, bool(request.exact)
            found = self._shard.facet(edge.FacetRequest(request.key, limit, exact, edge_filter(request.filter)))
            return models.FacetResponse(
                hits=[models.FacetValueHit(value=each.value, count=each.count) for each in found]
            )

    def _find_vector(self, id_, name):
        records = self._shard.retrieve([id_], False, [name])
        vector = records[0].vector if records else None
        if isinstance(vector, dict):
            vector = vector.get(name)
        if vector is None:
            raise missing_vector(id_, name)
        return vector


def _save(folder: Path, saved: Saved) -> None:
    """Replace the file in one step, so that a crash leaves the old or the new one."""
    new = folder / f"{_CONFIG_FILE}.new"
    new.write_text(saved.model_dump_json(exclude_none=True, by_alias=True))
    new.replace(folder / _CONFIG_FILE)
