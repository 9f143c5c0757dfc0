"""Pieces of HTML. Everything that comes from outside goes through `text`."""

import base64
import html
from collections.abc import Iterable, Sequence
from typing import Any


def text(value: Any) -> str:
    """Text that is only text on a page: markup escaped, what cannot be printed shown as a replacement character."""
    # isprintable leaves out the marks that turn the direction of writing, with which a code could rewrite the page
    # around it.
    return html.escape("".join(c if c.isprintable() or c == "\n" else "�" for c in str(value)))


def table(heads: Sequence[str], rows: Iterable[Sequence[Any]]) -> str:
    """A table that scrolls by itself where it is wider than the page; nothing where it would have no rows."""
    head = "".join(f'<th scope="col">{text(cell)}</th>' for cell in heads)
    body = "".join("<tr>" + "".join(f"<td>{text(cell)}</td>" for cell in row) + "</tr>" for row in rows)
    if not body:
        return ""
    return f'<div class="table"><table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table></div>'


def card(title: str, content: str, note: str = "") -> str:
    return f'<div class="card"><p><b>{text(title)}</b></p>{content}{_note(note)}</div>'


def folded(title: str, content: str) -> str:
    """What takes much room and is shown only where it is asked for."""
    return f"<details><summary>{text(title)}</summary>{content}</details>"


def plot_card(description: str, pictures: tuple[bytes, bytes], content: str = "", note: str = "") -> str:
    """A plot in its light and its dark form, of which the page shows what the reader's theme is."""
    light, dark = map(data_uri, pictures)
    return (
        f'<div class="card plot"><picture><source media="(prefers-color-scheme: dark)" srcset="{dark}">'
        f'<img src="{light}" alt="{text(description)}"></picture>{content}{_note(note)}</div>'
    )


def data_uri(picture: bytes) -> str:
    kind = "png" if picture.startswith(b"\x89PNG") else "jpeg"  # records hold no other kinds
    return f"data:image/{kind};base64,{base64.b64encode(picture).decode('ascii')}"


def _note(note: str) -> str:
    return f'<p class="note">{text(note)}</p>' if note else ""
