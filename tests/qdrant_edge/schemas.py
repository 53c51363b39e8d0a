"""Configurations of collections and payload indexes: the client's models as those of Edge."""

from __future__ import annotations

import qdrant_edge as edge
from qdrant_client.http import models

from .errors import unsupported, wrong_input

_HNSW = {"m": 16, "ef_construct": 100, "full_scan_threshold": 10_000, "max_indexing_threads": 0}
_OPTIMIZERS = {
    "deleted_threshold": 0.2,
    "vacuum_min_vector_number": 1000,
    "default_segment_number": 0,
    "indexing_threshold": 10_000,
    "flush_interval_sec": 5,
}
_SETTINGS_OF_OPTIMIZERS = (
    "deleted_threshold",
    "vacuum_min_vector_number",
    "default_segment_number",
    "max_segment_size",
    "indexing_threshold",
    "prevent_unoptimized",
)

_NO_VECTORS = {"no vectors": edge.EdgeSparseVectorParams()}
"""For a collection of payloads alone, which a server knows and Edge does not: no point has this vector."""


def edge_config(created: models.CreateCollection, *, has_wal: bool) -> edge.EdgeConfig:
    """Return the configuration of the shard of a collection."""
    vectors = created.vectors or {}
    named = {"": vectors} if isinstance(vectors, models.VectorParams) else vectors
    sparse = {name: _sparse_params(params) for name, params in (created.sparse_vectors or {}).items()}
    optimizers = created.optimizers_config
    return edge.EdgeConfig(
        vectors={name: _vector_params(params, created) for name, params in named.items()},
        sparse_vectors=sparse if named or sparse else _NO_VECTORS,
        on_disk_payload=created.on_disk_payload,
        hnsw_config=_hnsw(created.hnsw_config),
        quantization_config=_quantization(created.quantization_config),
        optimizers=optimizers
        and edge.EdgeOptimizersConfig(**{name: getattr(optimizers, name) for name in _SETTINGS_OF_OPTIMIZERS}),
        max_search_threads=1,  # the bindings hold the interpreter's lock, so a shard never answers two at a time
        wal_enabled=has_wal,
    )


def _vector_params(params: models.VectorParams, created: models.CreateCollection) -> edge.EdgeVectorParams:
    if params.size < 1 or params.size > 65_536:
        raise wrong_input(f"vector size must be from 1 to 65536, got {params.size}")
    multivector = params.multivector_config and edge.MultiVectorConfig(edge.MultiVectorComparator.MaxSim)
    return edge.EdgeVectorParams(
        params.size,
        _member(edge.Distance, params.distance),
        on_disk=params.on_disk,
        multivector_config=multivector,
        datatype=_member(edge.VectorStorageDatatype, params.datatype),
        quantization_config=_quantization(params.quantization_config),
        hnsw_config=_hnsw(params.hnsw_config, created.hnsw_config),
        memory=_member(edge.Memory, params.memory),
    )


def _sparse_params(params: models.SparseVectorParams) -> edge.EdgeSparseVectorParams:
    index = params.index or models.SparseIndexParams()
    return edge.EdgeSparseVectorParams(
        full_scan_threshold=index.full_scan_threshold,
        on_disk=index.on_disk,
        modifier=edge.Modifier.Idf if params.modifier == models.Modifier.IDF else None,
        datatype=_member(edge.VectorStorageDatatype, index.datatype),
        memory=_member(edge.Memory, index.memory),
    )


def _given(*settings) -> dict:
    """Return the settings that are not None; the first that gives a setting decides."""
    merged: dict = {}
    for each in reversed(settings):
        merged |= each.model_dump(exclude_none=True) if each is not None else {}
    return merged


def _hnsw(*settings) -> edge.HnswIndexConfig | None:
    if all(each is None for each in settings):
        return None
    given = _HNSW | _given(*settings)
    return edge.HnswIndexConfig(**{**given, "memory": _member(edge.Memory, given.get("memory"))})


def _quantization(config):
    match config:
        case None:
            return None
        case models.ScalarQuantization():
            kind, given = edge.ScalarQuantizationConfig, config.scalar
        case models.ProductQuantization():
            kind, given = edge.ProductQuantizationConfig, config.product
        case models.BinaryQuantization():
            kind, given = edge.BinaryQuantizationConfig, config.binary
        case models.TurboQuantization():
            kind, given = edge.TurboQuantQuantizationConfig, config.turbo
        case _:
            raise unsupported(f"quantization {config}")
    return kind(**{name: _enum_member(name, value) for name, value in given if value is not None})


_ENUMS = {
    "type": edge.ScalarType,
    "compression": edge.CompressionRatio,
    "encoding": edge.BinaryQuantizationEncoding,
    "query_encoding": edge.BinaryQuantizationQueryEncoding,
    "bits": edge.TurboQuantBitSize,
    "memory": edge.Memory,
}


def _enum_member(name, value):
    return _member(_ENUMS[name], value) if name in _ENUMS else value


def _member(enum, value):
    """Return the member of an enumeration of Edge of the name that the client's has in capitals or as its value."""
    if value is None:
        return None
    names = {name.lower().replace("_", ""): name for name in dir(enum) if not name.startswith("_")}
    wanted = str(getattr(value, "value", value)).lower().replace("_", "")
    if wanted not in names:
        raise unsupported(f"{enum.__name__} {wanted}")
    return getattr(enum, names[wanted])


def edge_field_schema(schema):
    """Convert the type of a payload index, or its parameters."""
    if isinstance(schema, (str, models.PayloadSchemaType)):
        return _member(edge.PayloadSchemaType, schema)
    given = {name: value for name, value in schema if name != "type" and value is not None}
    if "memory" in given:
        given["memory"] = _member(edge.Memory, given["memory"])
    if isinstance(schema, models.TextIndexParams):
        given |= _text_params(given)
    return getattr(edge, type(schema).__name__)(**given)


def _text_params(given) -> dict:
    converted = {}
    if "tokenizer" in given:
        converted["tokenizer"] = _member(edge.TokenizerType, given["tokenizer"])
    stemmer, stopwords, scoring = (given.get(name) for name in ("stemmer", "stopwords", "scoring"))
    if isinstance(stemmer, models.SnowballParams):
        converted["stemmer"] = edge.SnowballParams(_member(edge.SnowballLanguage, stemmer.language))
    elif stemmer is not None:
        converted["stemmer"] = edge.DisabledStemmer()
    if isinstance(stopwords, models.StopwordsSet):
        languages = {_member(edge.Language, each) for each in stopwords.languages or []}
        converted["stopwords"] = edge.StopwordsSet(languages=languages, custom=set(stopwords.custom or []))
    elif stopwords is not None:
        converted["stopwords"] = _member(edge.Language, stopwords)
    if isinstance(scoring, models.TextScoringParams):
        converted["scoring"] = edge.TextScoringParams(edge.TextScoringType.Bm25)
    return converted


def client_config(created: models.CreateCollection) -> models.CollectionConfig:
    """Return what the server says of a collection, its defaults included."""
    params = models.CollectionParams(
        vectors=created.vectors or {},
        sparse_vectors=created.sparse_vectors,
        shard_number=created.shard_number or 1,
        sharding_method=created.sharding_method,
        replication_factor=created.replication_factor or 1,
        write_consistency_factor=created.write_consistency_factor or 1,
        on_disk_payload=True if created.on_disk_payload is None else created.on_disk_payload,
    )
    wal = {"wal_capacity_mb": 32, "wal_segments_ahead": 0} | _given(created.wal_config)
    return models.CollectionConfig(
        params=params,
        hnsw_config=models.HnswConfig(**(_HNSW | _given(created.hnsw_config))),
        optimizer_config=models.OptimizersConfig(**(_OPTIMIZERS | _given(created.optimizers_config))),
        wal_config=models.WalConfig(**wal),
        quantization_config=created.quantization_config,
        strict_mode_config=created.strict_mode_config and created.strict_mode_config.model_dump(exclude_none=True),
        metadata=created.metadata,
    )


def changed_config(created: models.CreateCollection, change: models.UpdateCollection) -> models.CreateCollection:
    """Return the configuration after a change; metadata is merged by key, and null removes a key."""
    new = created.model_copy(deep=True)
    if change.metadata is not None:
        merged = {**(new.metadata or {}), **change.metadata}
        new.metadata = {key: value for key, value in merged.items() if value is not None}
    for name in ("hnsw_config", "optimizers_config", "strict_mode_config"):
        given = getattr(change, name)
        if given is not None:
            setattr(new, name, type(given)(**_given(given, getattr(new, name))))
    if change.quantization_config is not None:
        new.quantization_config = _enabled(change.quantization_config)
    for name, value in change.params or ():
        if value is not None and name in models.CreateCollection.model_fields:
            setattr(new, name, value)
    for name, diff in (change.vectors or {}).items():
        _change_vector(new, name, diff)
    if change.sparse_vectors is not None:
        new.sparse_vectors = {**(new.sparse_vectors or {}), **change.sparse_vectors}
    return new


def _change_vector(new: models.CreateCollection, name: str, diff: models.VectorParamsDiff) -> None:
    named = {"": new.vectors} if isinstance(new.vectors, models.VectorParams) else new.vectors or {}
    if name not in named:
        raise wrong_input(f"Not existing vector name error: {name}")
    params = named[name]
    if diff.hnsw_config is not None:
        params.hnsw_config = models.HnswConfigDiff(**_given(diff.hnsw_config, params.hnsw_config))
    if diff.quantization_config is not None:
        params.quantization_config = _enabled(diff.quantization_config)
    if diff.on_disk is not None:
        params.on_disk = diff.on_disk


def _enabled(quantization):
    return None if isinstance(quantization, models.Disabled) else quantization
