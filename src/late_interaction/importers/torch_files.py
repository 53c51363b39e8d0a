"""Read ``.pt`` files of a foreign index: tensors of numbers, never other objects.

A ``.pt`` file is a zip file with a pickle. Before torch reads it, with ``weights_only=True``, its members must be
uncompressed, and its pickle may name nothing but tensors and their storages. So it cannot run code, and cannot take
more memory than the file has bytes.
"""

from __future__ import annotations

import pickletools
import zipfile
from pickle import UnpicklingError
from typing import TYPE_CHECKING, Any

from late_interaction.errors import CorruptIndexError
from late_interaction.importers.arrays import check_array
from late_interaction.importers.files import damaged, file_path, open_file

if TYPE_CHECKING:
    from collections.abc import Collection
    from pathlib import Path

    from numpy.typing import NDArray
    from torch import Tensor

    from late_interaction.importers.arrays import Shape

__all__ = ["as_array", "read_pt", "read_tensor", "read_tensors"]

_MAX_PICKLE_BYTES = 64 * 2**20
_MAX_MEMBERS = 1_000_000
_GLOBALS = frozenset(
    {
        *("collections OrderedDict", "torch._utils _rebuild_tensor_v2", "torch._utils _rebuild_parameter"),
        *(f"torch {name}Storage" for name in ("Float", "Half", "BFloat16", "Double")),
        *(f"torch {name}Storage" for name in ("Byte", "Char", "Short", "Int", "Long", "Bool")),
    }
)
"""What a pickle of tensors names."""


def read_tensor(
    folder: Path, name: str, *, dtypes: Collection[str], shape: Shape | None = None, map_file: bool = True
) -> NDArray[Any]:
    """Return the tensor of a ``.pt`` file as an array; of bfloat16, as float32.

    Args:
        folder: The folder of the source.
        name: The name of the file, as for `files.open_file`.
        dtypes: Names of the types that it may have, such as ``float16``.
        shape: The shape that it must have, None for any length; None for any shape.
        map_file: Map the file; else read it into memory.

    Raises:
        CorruptIndexError: The file is missing, damaged, holds anything else, or has another type or shape.
    """
    found = read_pt(folder, name, map_file=map_file)
    if isinstance(found, (list, dict)):
        raise damaged(folder / name, f"must contain a tensor, not a {type(found).__name__}")
    return _checked(folder / name, found, dtypes, shape)


def read_tensors(
    folder: Path, name: str, *, dtypes: Collection[str], shape: Shape | None = None, map_file: bool = True
) -> list[NDArray[Any]]:
    """Return the tensors of a ``.pt`` file that is a list or tuple of tensors. See `read_tensor`."""
    found = read_pt(folder, name, map_file=map_file)
    if not isinstance(found, list):
        raise damaged(folder / name, "must contain a list of tensors")
    return [_checked(folder / name, tensor, dtypes, shape) for tensor in found]


def read_pt(folder: Path, name: str, *, map_file: bool = True) -> Tensor | list[Tensor] | dict[str, Tensor]:
    """Return what is in a ``.pt`` file: a tensor, a list of tensors (also of a tuple), or a dict of them by strings.

    Raises:
        CorruptIndexError: The file is missing or damaged, holds anything else, or tensors of more bytes than it has.
    """
    path = folder / name
    _check_members(folder, name)
    import torch

    try:
        found: Any = torch.load(file_path(folder, name), map_location="cpu", weights_only=True, mmap=map_file)
    except (CorruptIndexError, MemoryError):
        raise
    except Exception as error:  # noqa: BLE001  # on damaged files, torch raises errors of many types
        # The text of an error about the pickle advises to load it unsafely.
        reason = "its pickle is damaged" if isinstance(error, UnpicklingError) else f"{error!s:.200}"
        raise damaged(path, f"cannot be loaded as tensors ({reason})") from None
    if isinstance(found, (list, tuple)):
        found = list(found)
    values = list(found.values()) if isinstance(found, dict) else found if isinstance(found, list) else [found]
    is_named = not isinstance(found, dict) or all(isinstance(key, str) for key in found)
    if not is_named or not all(_is_plain(value) for value in values):
        raise damaged(path, "must contain a tensor, or a list or dict of tensors, in memory of the processor")
    size = sum(value.numel() * value.element_size() for value in values)
    if size > (stored := path.stat().st_size):
        raise damaged(path, f"has {stored:,} bytes, and its tensors claim {size:,}")
    return found  # type: ignore[no-any-return]


def as_array(tensor: Tensor) -> NDArray[Any]:
    """Return a tensor as an array that shares its memory; of bfloat16, as float32."""
    import torch

    plain = tensor.detach()
    return (plain.float() if plain.dtype == torch.bfloat16 else plain).numpy()


def _checked(path: Path, tensor: Tensor, dtypes: Collection[str], shape: Shape | None) -> NDArray[Any]:
    check_array(path, str(tensor.dtype).removeprefix("torch."), tuple(tensor.shape), dtypes, shape)
    return as_array(tensor)


def _is_plain(value: object) -> bool:
    import torch

    is_tensor = type(value) in (torch.Tensor, torch.nn.Parameter)
    return is_tensor and value.device.type == "cpu" and value.layout == torch.strided  # type: ignore[attr-defined]


def _check_members(folder: Path, name: str) -> None:
    """Refuse a file that torch should not read.

    Raises:
        CorruptIndexError: It is not a zip file of torch, a member is compressed, or the pickle names other objects.
    """
    path = folder / name
    with open_file(folder, name) as file:
        try:
            with zipfile.ZipFile(file) as archive:
                members = archive.infolist()
                pickles = [one for one in members if one.filename.endswith("data.pkl")]
                if len(members) > _MAX_MEMBERS or any(
                    one.compress_type != zipfile.ZIP_STORED or one.file_size != one.compress_size for one in members
                ):
                    raise damaged(path, "has compressed members, which torch does not write")
                if len(pickles) != 1 or pickles[0].file_size > _MAX_PICKLE_BYTES:
                    raise damaged(path, "is not a file of torch, or describes too many tensors")
                content = archive.read(pickles[0])
        except (zipfile.BadZipFile, ValueError, NotImplementedError, RuntimeError, EOFError) as error:
            raise damaged(path, f"is not a complete .pt file in the zip format of torch ({error})") from None
    _check_pickle(path, content)


def _check_pickle(path: Path, content: bytes) -> None:
    try:
        for opcode, argument, _ in pickletools.genops(content):
            if opcode.name == "GLOBAL":
                named = str(argument)
            elif opcode.name in ("STACK_GLOBAL", "INST", "OBJ", "NEWOBJ_EX", "EXT1", "EXT2", "EXT4"):
                named = opcode.name
            else:
                continue
            if named not in _GLOBALS:
                raise damaged(path, f"names {named!a:.80}, which is not a tensor; it was not loaded")
    except CorruptIndexError:
        raise
    except Exception as error:  # noqa: BLE001  # on damaged pickles, pickletools raises errors of many types
        raise damaged(path, f"has a damaged pickle ({error!s:.200})") from None
