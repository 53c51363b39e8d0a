"""An interceptor of a gRPC server that carries out the script of `faults`."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import grpc
from qdrant_client.grpc import PointsSelector

from .faults import Fault, Faults, Seen, part_of
from .grpc_server import CODES

if TYPE_CHECKING:
    from google.protobuf.message import Message

_CLIENT_NAMES = {
    "Qdrant/HealthCheck": "info",
    "Collections/Get": "get_collection",
    "Collections/List": "get_collections",
    "Collections/Create": "create_collection",
    "Collections/Update": "update_collection",
    "Collections/Delete": "delete_collection",
    "Collections/CollectionExists": "collection_exists",
    "Points/Upsert": "upsert",
    "Points/Delete": "delete",
    "Points/UpdateVectors": "update_vectors",
    "Points/DeleteVectors": "delete_vectors",
    "Points/SetPayload": "set_payload",
    "Points/OverwritePayload": "overwrite_payload",
    "Points/DeletePayload": "delete_payload",
    "Points/ClearPayload": "clear_payload",
    "Points/CreateFieldIndex": "create_payload_index",
    "Points/DeleteFieldIndex": "delete_payload_index",
    "Points/UpdateBatch": "batch_update_points",
    "Points/Get": "retrieve",
    "Points/Scroll": "scroll",
    "Points/Count": "count",
    "Points/Facet": "facet",
    "Points/Query": "query_points",
    "Points/QueryBatch": "query_batch_points",
}


class FaultInterceptor(grpc.ServerInterceptor):
    """Let requests fail as the script says."""

    def __init__(self, faults: Faults):
        self._faults = faults
        self._down_until = 0.0

    def intercept_service(self, continuation, details):
        """Wrap what answers a request."""
        handler = continuation(details)
        if handler is None or handler.unary_unary is None:
            return handler
        operation = _CLIENT_NAMES.get(details.method.removeprefix("/qdrant."), "unknown")

        def respond(request, context):
            return self._respond(handler.unary_unary, operation, request, context)

        return grpc.unary_unary_rpc_method_handler(respond, handler.request_deserializer, handler.response_serializer)

    def _respond(self, behavior, operation: str, request: Message, context):
        if time.monotonic() < self._down_until:
            context.abort(grpc.StatusCode.UNAVAILABLE, "failed to connect to all addresses")
        fault = self._faults.next_fault(operation)
        self._faults.record(Seen(operation, request, request.ByteSize(), fault))
        if fault is None:
            return behavior(request, context)
        response = behavior(_part(request, fault.applied), context) if fault.applied else None
        self._faults.stopped.wait(fault.seconds)
        self._down_until = max(self._down_until, time.monotonic() + fault.down_seconds)
        _abort(fault, context)
        return response


def _abort(fault: Fault, context) -> None:
    if fault.closes:
        context.abort(grpc.StatusCode.UNAVAILABLE, "Socket closed")
    if fault.status is None:
        return
    if fault.retry_after is not None:
        context.set_trailing_metadata([("retry-after", str(fault.retry_after))])
    context.abort(CODES[fault.status], fault.message())


def _part(request: Message, share: float) -> Message:
    """Return a request with the first part of its points, or of its operations; whole if it has neither."""
    name = next((name for name in ("operations", "points") if hasattr(request, name)), None)
    if share == 1 or name is None:
        return request
    part = type(request)()
    part.CopyFrom(request)
    items = getattr(part, name)
    if isinstance(items, PointsSelector):  # of a deletion
        if items.WhichOneof("points_selector_one_of") != "points":
            return request
        items = items.points.ids
    del items[len(part_of(items, share)) :]
    return part
