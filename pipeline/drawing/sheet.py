"""A sheet of pictures with a line of text under each: what people would rather look at than read."""

from collections.abc import Iterable

from PIL import Image, ImageDraw, ImageFont

_MARGIN = 8
_INK = "#303030"


def sheet(
    pictures: Iterable[tuple[Image.Image, str]], font: str | None = None, columns: int = 6, text_height: int = 18
) -> Image.Image:
    """An RGB image of (picture, caption) pairs, row by row; `font` is a font file that has the captions' characters."""
    shown = list(pictures)
    # All places are as large as the largest picture needs.
    width = max(picture.width for picture, _ in shown)
    height = max(picture.height for picture, _ in shown)
    rows = -(-len(shown) // columns)
    across, down = width + _MARGIN, height + text_height + _MARGIN
    page = Image.new("RGB", (_MARGIN + min(columns, len(shown)) * across, _MARGIN + rows * down), "white")
    draw = ImageDraw.Draw(page)
    letters = ImageFont.truetype(font, text_height - 4) if font else ImageFont.load_default(text_height - 4)
    for number, (picture, caption) in enumerate(shown):
        left, top = _MARGIN + number % columns * across, _MARGIN + number // columns * down
        page.paste(picture, (left, top))
        draw.text((left + width / 2, top + height + text_height / 2), caption, _INK, letters, anchor="mm")
    return page
