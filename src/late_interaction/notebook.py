"""HTML of hits and indexes, for notebooks.

Every text is escaped, and nothing is loaded from elsewhere: images are small and inline. Lengths are bounded, so that a
cell with a thousand hits stays readable and a notebook small.
"""

from __future__ import annotations

import html
import json
from itertools import islice
from typing import TYPE_CHECKING, Any

from late_interaction.errors import LateInteractionError
from late_interaction.images.pictures import to_jpeg
from late_interaction.wording import counted

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

__all__ = ["beginning", "hits_html", "index_html"]

_MAX_HITS = 50
_MAX_IMAGES = 10  # a page of a PDF takes about 50 ms to render
_IMAGE_SIDE = 360  # pixels
_MAX_TEXT = 600  # characters
_MAX_METADATA = 300
_TOP = "text-align: left; vertical-align: top"


def beginning(text: str, length: int) -> str:
    """Return a text, or its beginning if it is longer.

    Example:
        >>> beginning("The Nile is a river.", 8)
        'The Nile…'
    """
    return text if len(text) <= length else f"{text[:length].rstrip()}…"


def hits_html(hits: Sequence[Any]) -> str:
    """Return a table of hits: score, relevance, id, text or page, and metadata.

    Args:
        hits: `late_interaction.Hit` objects.
    """
    rows = []
    images = 0
    for place, hit in enumerate(islice(hits, _MAX_HITS), 1):
        is_page = hit.document.image is not None
        images += is_page
        picture = _picture(hit.document) if is_page and images <= _MAX_IMAGES else ""
        text = html.escape(beginning(hit.text, _MAX_TEXT))
        metadata = html.escape(beginning(_json(hit.metadata), _MAX_METADATA)) if hit.metadata else ""
        rows.append(
            f'<tr><td style="{_TOP}">{place}</td><td style="{_TOP}">{hit.score:.2f}</td>'
            f'<td style="{_TOP}">{hit.relevance:.2f}</td><td style="{_TOP}"><b>{html.escape(hit.id)}</b>{picture}'
            f'<div dir="auto" style="white-space: pre-wrap">{text}</div><small>{metadata}</small></td></tr>'
        )
    more = len(hits) - len(rows)
    return (
        '<table class="late-interaction"><thead><tr><th></th><th>score</th><th>relevance</th>'
        f'<th style="text-align: left">{counted(len(hits), "hit")}</th></tr></thead>'
        f"<tbody>{''.join(rows)}</tbody></table>" + (f"<p>… and {counted(more, 'more hit')}</p>" if more else "")
    )


def index_html(title: str, info: Mapping[str, Any]) -> str:
    """Return a table of what an index contains.

    Args:
        title: What is above the table.
        info: The values of `late_interaction.Index.info`.
    """
    encoder = info.get("encoder")
    sizes = [info[name] for name in ("vector_bytes", "catalog_bytes") if name in info]
    shown = {
        "path": info.get("path"),
        "engine": None if "path" in info else info.get("engine"),
        "documents": f"{info['documents']:,}",
        "token vectors": f"{info['tokens']:,}" if "tokens" in info else None,
        "encoder": "none" if encoder is None else encoder.get("source") or "custom",
        "dimension": info["dim"],
        "bits per dimension": ("16 (not compressed)" if info["bits"] is None else info["bits"] or "0 (codes alone)")
        if "bits" in info
        else None,
        "size": f"{sum(sizes) / 1e6:,.1f} MB" if sizes else None,
    }
    rows = "".join(
        f'<tr><th style="text-align: left">{name}</th><td style="text-align: left">{html.escape(str(value))}</td></tr>'
        for name, value in shown.items()
        if value is not None
    )
    return f'<table class="late-interaction"><caption>{html.escape(title)}</caption><tbody>{rows}</tbody></table>'


def _picture(document: Any) -> str:
    try:
        source = f"data:image/jpeg;base64,{to_jpeg(document.load_image(), _IMAGE_SIDE)}"
    except LateInteractionError as error:  # the file is gone, or Pillow is not installed
        return f"<div><i>{html.escape(str(error))}</i></div>"
    return f'<div><img alt="" style="max-height: {_IMAGE_SIDE}px" src="{source}"></div>'


def _json(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False)
