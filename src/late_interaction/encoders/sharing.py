"""One encoder per checkpoint in a process, and one per model that a caller has loaded."""

from __future__ import annotations

import stat
import threading
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias
from weakref import WeakValueDictionary

from late_interaction.encoders.checkpoint import SETTINGS_FILES, cached_folder, resolve
from late_interaction.encoders.loading import load_checkpoint
from late_interaction.forking import renew_in_child

if TYPE_CHECKING:
    import os
    from collections.abc import Iterator

    from typing_extensions import Unpack

    from late_interaction.encoders.checkpoint import Checkpoint, LoadOptions
    from late_interaction.encoders.protocol import LoadedEncoder

    _Identity: TypeAlias = tuple[str, int, int, int, int]
    _Key: TypeAlias = tuple[Checkpoint, frozenset[_Identity]]

__all__ = ["shared_encoder", "shared_wrapper"]

# Each access is one operation on a dict, so a fork may come at any time.
_encoders: WeakValueDictionary[_Key, LoadedEncoder] = WeakValueDictionary()
_wrappers: WeakValueDictionary[int, LoadedEncoder] = WeakValueDictionary()
"""By the id of the model."""


class _Loading:
    """Holds the mutex under which encoders are loaded; a forked child gets a new one."""

    def __init__(self) -> None:
        self.renew()
        renew_in_child(self.renew)

    def renew(self) -> None:
        self.mutex = threading.RLock()  # reentrant: code that comes with a checkpoint may load others


_loading = _Loading()


def shared_encoder(name_or_path: str | os.PathLike[str], **options: Unpack[LoadOptions]) -> LoadedEncoder:
    """Return the encoder of a checkpoint, loaded at most once while it is in use.

    The arguments and errors are those of `load_encoder`, which always loads a new one. An encoder is kept only while
    something else refers to it. It is loaded again if other options are given or a file of the checkpoint has changed.
    A checkpoint that fails to load is tried again by the next call. Any thread may call.

    Example:
        >>> shared_encoder("minilm") is shared_encoder("minilm")
        True
    """
    checkpoint = resolve(name_or_path, **options)
    found = _encoders.get(_key(checkpoint))  # without the mutex, which another thread may hold while it loads a model
    if found is not None:
        return found
    with _loading.mutex:
        key = _key(checkpoint)
        found = _encoders.get(key)
        if found is None:
            found = load_checkpoint(checkpoint)
            if not Path(checkpoint.place).is_dir():
                key = _key(checkpoint)  # the files may have just been downloaded
            _encoders[key] = found
        return found


def shared_wrapper(model: Any) -> LoadedEncoder:
    """Return the encoder of a `sentence_transformers.MultiVectorEncoder`, the same for all callers while it is in use.

    Two would have two mutexes, and nothing else may use the model at the same time.
    """
    from late_interaction.encoders.multi_vector import wrap

    with _loading.mutex:
        found = _wrappers.get(id(model))  # the wrapper keeps the model, so no other model has this id
        if found is None:
            found = _wrappers[id(model)] = wrap(model)
        return found


def _key(checkpoint: Checkpoint) -> _Key:
    """Return the key of a shared encoder: the name, the options, and the current state of the files."""
    place = Path(checkpoint.place)
    folder = place if place.is_dir() else cached_folder(checkpoint.name, checkpoint.revision)
    return checkpoint, frozenset() if folder is None else frozenset(_files(folder))


def _files(folder: Path) -> Iterator[_Identity]:
    """Yield the state of each file below a folder: name, inode, size in bytes, mtime and ctime in nanoseconds.

    Links are followed, because the files in the cache of the hub are links.
    """
    if not any((folder / name).exists() for name in SETTINGS_FILES):
        return  # not a checkpoint, so loading fails; the folder may be the root of a disk
    pending, seen = [folder], set()
    while pending:
        path = pending.pop()
        try:
            status = path.stat()
            if not stat.S_ISDIR(status.st_mode):
                yield str(path), status.st_ino, status.st_size, status.st_mtime_ns, status.st_ctime_ns
            elif (status.st_dev, status.st_ino) not in seen:  # a link may lead to a parent folder
                seen.add((status.st_dev, status.st_ino))
                pending += path.iterdir()
        except OSError:  # a dangling link, or a file that has just been removed
            continue
