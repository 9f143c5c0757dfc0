"""Which size the images of a training come in at.

input_size("alexnet", manifest)        # InputSize(height=48, width=128, resizing="fit")
"""

import dataclasses

from alexnet.catalogue import CATALOGUE
from alexnet.working_size import working_size
from records.dataset.manifest import Manifest

AS_IS, FIT = "none", "fit"
RESIZINGS: tuple[str, ...] = (AS_IS, FIT)


@dataclasses.dataclass(frozen=True)
class InputSize:
    """With `fit`, images of any size come in at this one: in proportion, and padded. Else they have it already."""

    height: int
    width: int
    resizing: str


def input_size(network: str, manifest: Manifest) -> InputSize:
    """The size that was asked for when the records were made, that of the images for networks that are built for it,
    and else the one at which characters are as large as the network reads them well."""
    is_built_for_size = not CATALOGUE[network].any_size and not manifest.varies
    if is_built_for_size or _was_asked(manifest):
        return InputSize(manifest.height, manifest.width, AS_IS)
    size = working_size(*manifest.image_sizes.by_image())
    return InputSize(size.height, size.width, FIT)


def _was_asked(manifest: Manifest) -> bool:
    """Whether --resize or --image_size made the images of the user one size."""
    settings = manifest.settings
    source = settings.get("source")
    return bool(settings.get("resize") or (isinstance(source, dict) and source.get("image_size")))
