"""Characters of several fonts as Pillow renders them, each once: characters.of(font, "7").picture(dx, dy)."""

import dataclasses
from collections.abc import Mapping, Sequence

from PIL import Image, ImageDraw, ImageFont

OFFSETS_X, OFFSETS_Y = 5, 7  # the package moves a character by 0 to 4 and 0 to 6 pixels, and cuts that off again


@dataclasses.dataclass(frozen=True)
class Character:
    """The box that the package gives a character, and what shows of it: a Pillow image of grey, or nothing."""

    width: int
    height: int
    pictures: Mapping[tuple[int, int], Image.Image | None]

    def picture(self, dx: int, dy: int) -> Image.Image | None:
        """As it is rendered at (dx, dy). Only one that reaches beyond its box, to the left or up, depends on where."""
        return self.pictures[(dx, dy) if len(self.pictures) > 1 else (0, 0)]


class Characters:
    """All characters in all fonts and sizes; fonts are numbered as the package numbers them."""

    def __init__(self, fonts: Sequence[str], sizes: Sequence[int]) -> None:
        self._fonts = [ImageFont.truetype(font, size) for font in fonts for size in sizes]
        self._known: dict[tuple[int, str], Character] = {}

    @property
    def num_fonts(self) -> int:
        return len(self._fonts)

    def of(self, font: int, character: str) -> Character:
        known = self._known.get((font, character))
        if known is None:
            known = self._known[font, character] = _drawn(self._fonts[font], character)
        return known


def _drawn(font: ImageFont.FreeTypeFont, character: str) -> Character:
    draw = ImageDraw.Draw(Image.new("RGB", (1, 1)))
    _, _, width, height = draw.multiline_textbbox((1, 1), character, font=font)
    left, top, _, _ = draw.multiline_textbbox((0, 0), character, font=font)
    places = {(0, 0)}
    # It is cut off at the edge of the picture then, by an amount that depends on where it is rendered.
    if left < 0 or top < 0:
        places = {(dx, dy) for dx in range(OFFSETS_X) for dy in range(OFFSETS_Y)}
    size = int(width), int(height)
    # The package renders a space as any other character, and nothing of it shows.
    pictures = {at: None if character == " " else _picture(font, character, size, at) for at in places}
    return Character(*size, pictures)


def _picture(
    font: ImageFont.FreeTypeFont, character: str, size: tuple[int, int], at: tuple[int, int]
) -> Image.Image | None:
    """What the package crops to: the character's own box within its picture."""
    image = Image.new("RGBA", (size[0] + at[0], size[1] + at[1]))
    ImageDraw.Draw(image).text(at, character, font=font, fill=(255, 255, 255, 255))
    box = image.getbbox()
    return image.getchannel("A").crop(box) if box else None
