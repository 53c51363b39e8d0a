"""Qdrant's gRPC interface over the engine, with the messages and conversions that the client brings."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any, NamedTuple

import grpc
from qdrant_client import grpc as messages
from qdrant_client.conversions.conversion import GrpcToRest, RestToGrpc
from qdrant_client.http import models

from .errors import ServerError
from .server import EdgeServer, version

if TYPE_CHECKING:
    from collections.abc import Callable

    from .keys import Keys

CODES = {
    400: grpc.StatusCode.INVALID_ARGUMENT,
    401: grpc.StatusCode.UNAUTHENTICATED,
    403: grpc.StatusCode.PERMISSION_DENIED,
    404: grpc.StatusCode.NOT_FOUND,
    409: grpc.StatusCode.ALREADY_EXISTS,
    422: grpc.StatusCode.INVALID_ARGUMENT,
    429: grpc.StatusCode.RESOURCE_EXHAUSTED,
    500: grpc.StatusCode.INTERNAL,
    501: grpc.StatusCode.UNIMPLEMENTED,
    502: grpc.StatusCode.UNAVAILABLE,
    503: grpc.StatusCode.UNAVAILABLE,
}
_THREADS = 16


class _FromGrpc(GrpcToRest):
    @classmethod
    def convert_filter(cls, model):
        """Return a filter without empty clauses: over gRPC, a server cannot tell them from missing ones."""
        converted = super().convert_filter(model)
        clauses = {name: getattr(converted, name) or None for name in ("must", "should", "must_not")}
        return converted.model_copy(update=clauses)


class _Call(NamedTuple):
    """What answers a request: a method of the collection, with the body and the answer converted."""

    method: str
    body: Callable[[Any], Any]
    answer: Callable[[Any], Any]


def _given(message, field: str, convert: Callable[[Any], Any] = lambda value: value):
    return convert(getattr(message, field)) if message.HasField(field) else None


def _ids(ids) -> list:
    return [_FromGrpc.convert_point_id(each) for each in ids]


def _selected(selector) -> dict:
    """Return the points that a selector names, as the fields of a body of the REST interface."""
    chosen = _FromGrpc.convert_points_selector(selector)
    by_id = isinstance(chosen, models.PointIdsList)
    return {"points": chosen.points} if by_id else {"filter": chosen.filter}


def _upsert(request) -> models.PointsList:
    return models.PointsList(
        points=[_FromGrpc.convert_point_struct(each) for each in request.points],
        update_filter=_given(request, "update_filter", _FromGrpc.convert_filter),
        update_mode=_given(request, "update_mode", _FromGrpc.convert_update_mode),
    )


def _set_payload(request) -> models.SetPayload:
    payload = _FromGrpc.convert_payload(request.payload)
    return models.SetPayload(payload=payload, key=_given(request, "key"), **_selected(request.points_selector))


def _update_vectors(request) -> models.UpdateVectors:
    points = [_FromGrpc.convert_point_vectors(each) for each in request.points]
    return models.UpdateVectors(points=points, update_filter=_given(request, "update_filter", _FromGrpc.convert_filter))


def _create_index(request) -> models.CreateFieldIndex:
    if request.HasField("field_index_params"):
        schema = _FromGrpc.convert_payload_schema_params(request.field_index_params)
    else:
        schema = messages.FieldType.Name(request.field_type).removeprefix("FieldType").lower()
    return models.CreateFieldIndex(field_name=request.field_name, field_schema=schema)


def _selectors(request) -> dict:
    return {
        "with_payload": _given(request, "with_payload", _FromGrpc.convert_with_payload_selector),
        "with_vector": _given(request, "with_vectors", _FromGrpc.convert_with_vectors_selector),
    }


def _scroll(request) -> models.ScrollRequest:
    return models.ScrollRequest(
        offset=_given(request, "offset", _FromGrpc.convert_point_id),
        limit=_given(request, "limit"),
        filter=_given(request, "filter", _FromGrpc.convert_filter),
        order_by=_given(request, "order_by", _FromGrpc.convert_order_by),
        **_selectors(request),
    )


def _facet(request) -> models.FacetRequest:
    filter_ = _given(request, "filter", _FromGrpc.convert_filter)
    return models.FacetRequest(
        key=request.key, filter=filter_, limit=_given(request, "limit"), exact=_given(request, "exact")
    )


def _scrolled(result):
    offset = result.next_page_offset
    return messages.ScrollResponse(
        next_page_offset=None if offset is None else RestToGrpc.convert_extended_point_id(offset),
        result=[_record(each) for each in result.points],
    )


def _record(record: models.Record):
    """A server sends no payload as an empty one."""
    return RestToGrpc.convert_record(record.model_copy(update={"payload": record.payload or {}}))


def _found(response: models.QueryResponse) -> list:
    return [RestToGrpc.convert_scored_point(each) for each in response.points]


def _updated(result: models.UpdateResult):
    return messages.PointsOperationResponse(result=RestToGrpc.convert_update_result(result))


def _write(method: str, body: Callable[[Any], Any]) -> _Call:
    return _Call(method, body, _updated)


_POINTS = {
    "Upsert": _write("upsert", _upsert),
    "Delete": _write("delete_points", lambda request: _FromGrpc.convert_points_selector(request.points)),
    "UpdateVectors": _write("update_vectors", _update_vectors),
    "DeleteVectors": _write(
        "delete_vectors",
        lambda request: models.DeleteVectors(vector=list(request.vectors.names), **_selected(request.points_selector)),
    ),
    "SetPayload": _write("set_payload", _set_payload),
    "OverwritePayload": _write("overwrite_payload", _set_payload),
    "DeletePayload": _write(
        "delete_payload",
        lambda request: models.DeletePayload(keys=list(request.keys), **_selected(request.points_selector)),
    ),
    "ClearPayload": _write("clear_payload", lambda request: _FromGrpc.convert_points_selector(request.points)),
    "CreateFieldIndex": _write("create_index", _create_index),
    "DeleteFieldIndex": _write("delete_index", lambda request: request.field_name),
    "UpdateBatch": _Call(
        "batch",
        lambda request: models.UpdateOperations(
            operations=[_FromGrpc.convert_points_update_operation(each) for each in request.operations]
        ),
        lambda results: messages.UpdateBatchResponse(
            result=[RestToGrpc.convert_update_result(each) for each in results]
        ),
    ),
    "Get": _Call(
        "retrieve",
        lambda request: models.PointRequest(ids=_ids(request.ids), **_selectors(request)),
        lambda records: messages.GetResponse(result=[_record(each) for each in records]),
    ),
    "Scroll": _Call("scroll", _scroll, _scrolled),
    "Count": _Call(
        "count",
        lambda request: models.CountRequest(
            filter=_given(request, "filter", _FromGrpc.convert_filter), exact=_given(request, "exact")
        ),
        lambda result: messages.CountResponse(result=RestToGrpc.convert_count_result(result)),
    ),
    "Facet": _Call(
        "facet",
        _facet,
        lambda result: messages.FacetResponse(hits=[RestToGrpc.convert_facet_value_hit(each) for each in result.hits]),
    ),
    "Query": _Call(
        "query",
        _FromGrpc.convert_query_points,
        lambda response: messages.QueryResponse(result=_found(response)),
    ),
    "QueryBatch": _Call(
        "query_batch",
        lambda request: models.QueryRequestBatch(
            searches=[_FromGrpc.convert_query_points(each) for each in request.query_points]
        ),
        lambda responses: messages.QueryBatchResponse(
            result=[messages.BatchResult(result=_found(each)) for each in responses]
        ),
    ),
}


def _create_collection(request) -> models.CreateCollection:
    return models.CreateCollection(
        vectors=_given(request, "vectors_config", _FromGrpc.convert_vectors_config),
        sparse_vectors=_given(request, "sparse_vectors_config", _FromGrpc.convert_sparse_vector_config),
        shard_number=_given(request, "shard_number"),
        sharding_method=_given(request, "sharding_method", _FromGrpc.convert_sharding_method),
        replication_factor=_given(request, "replication_factor"),
        write_consistency_factor=_given(request, "write_consistency_factor"),
        on_disk_payload=_given(request, "on_disk_payload"),
        hnsw_config=_given(request, "hnsw_config", _FromGrpc.convert_hnsw_config_diff),
        wal_config=_given(request, "wal_config", _FromGrpc.convert_wal_config_diff),
        optimizers_config=_given(request, "optimizers_config", _FromGrpc.convert_optimizers_config_diff),
        quantization_config=_given(request, "quantization_config", _FromGrpc.convert_quantization_config),
        strict_mode_config=_given(request, "strict_mode_config", _FromGrpc.convert_strict_mode_config),
        metadata=_FromGrpc.convert_payload(request.metadata) or None,
    )


_COLLECTIONS: dict[str, Callable[[EdgeServer, Any], Any]] = {
    "Get": lambda server, request: messages.GetCollectionInfoResponse(
        result=RestToGrpc.convert_collection_info(server.collection(request.collection_name).info())
    ),
    "List": lambda server, request: messages.ListCollectionsResponse(
        collections=[RestToGrpc.convert_collection_description(each) for each in server.names().collections]
    ),
    "Create": lambda server, request: messages.CollectionOperationResponse(
        result=server.create(request.collection_name, _create_collection(request))
    ),
    "Update": lambda server, request: messages.CollectionOperationResponse(
        result=server.collection(request.collection_name).change(_FromGrpc.convert_update_collection(request))
    ),
    "Delete": lambda server, request: messages.CollectionOperationResponse(
        result=server.delete(request.collection_name)
    ),
    "CollectionExists": lambda server, request: messages.CollectionExistsResponse(
        result=messages.CollectionExists(exists=server.exists(request.collection_name).exists)
    ),
}


def _on_points(call: _Call) -> Callable[[EdgeServer, Any], Any]:
    def answer(server: EdgeServer, request):
        collection = server.collection(request.collection_name)
        result = getattr(collection, call.method)(call.body(request))
        results = result if isinstance(result, list) else [result]
        for each in results:
            if isinstance(each, models.UpdateResult) and not request.wait:
                each.status = models.UpdateStatus.ACKNOWLEDGED
        return call.answer(result)

    return answer


def _health(server: EdgeServer, request):
    return RestToGrpc.convert_health_check_reply(version())


def _servicer(base: type, server: EdgeServer, answers: dict[str, Callable[[EdgeServer, Any], Any]]):
    """Return a servicer whose other methods answer that they are not implemented."""

    def method(answer):
        def respond(self, request, context):
            try:
                return answer(server, request)
            except ServerError as error:
                context.abort(CODES[error.status], error.message)
            except ValueError as error:  # a message that the client's conversions refuse
                context.abort(grpc.StatusCode.INVALID_ARGUMENT, str(error))

        return respond

    return type(base.__name__, (base,), {name: method(answer) for name, answer in answers.items()})()


_READS = {"Get", "List", "CollectionExists", "Scroll", "Count", "Facet", "Query", "QueryBatch"}


class _KeyCheck(grpc.ServerInterceptor):
    def __init__(self, keys: Keys):
        self._keys = keys

    def intercept_service(self, continuation, details):
        """Refuse requests without a key that allows them; health checks need none."""
        method = details.method.rpartition("/")[2]
        if method == "HealthCheck":
            return continuation(details)
        given = dict(details.invocation_metadata).get("api-key")
        try:
            self._keys.check(given, writes=method not in _READS)
        except ServerError as error:
            code, message = CODES[error.status], error.message
            return grpc.unary_unary_rpc_method_handler(lambda request, context: context.abort(code, message))
        return continuation(details)


class RunningGrpcServer:
    """A gRPC server in threads, on a free port of this machine."""

    def __init__(self, server: EdgeServer, keys: Keys, interceptors=()):
        interceptors = [*interceptors, _KeyCheck(keys)]
        unlimited = [("grpc.max_receive_message_length", -1), ("grpc.max_send_message_length", -1)]
        self._server = grpc.server(ThreadPoolExecutor(_THREADS), interceptors=interceptors, options=unlimited)
        points = {name: _on_points(call) for name, call in _POINTS.items()}
        messages.points_service_pb2_grpc.add_PointsServicer_to_server(
            _servicer(messages.points_service_pb2_grpc.PointsServicer, server, points), self._server
        )
        messages.collections_service_pb2_grpc.add_CollectionsServicer_to_server(
            _servicer(messages.collections_service_pb2_grpc.CollectionsServicer, server, _COLLECTIONS), self._server
        )
        messages.qdrant_pb2_grpc.add_QdrantServicer_to_server(
            _servicer(messages.qdrant_pb2_grpc.QdrantServicer, server, {"HealthCheck": _health}), self._server
        )
        self.port: int = self._server.add_insecure_port("127.0.0.1:0")
        self._server.start()

    def close(self) -> None:
        """Stop answering."""
        self._server.stop(grace=None).wait()
