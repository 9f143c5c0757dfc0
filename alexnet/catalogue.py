"""Which networks there are and what each can do, known before TensorFlow is imported.

    CATALOGUE["crnn"].readouts                      # ("ctc",)
    problem("vgg", "ctc", height=80, width=170)     # "vgg has one head for each position and no columns ..."

A new network is a module with a function `build`, and a line here.
"""

import dataclasses

POSITIONS, CTC = "positions", "ctc"
# Spelled here and not in alexnet.readout, which imports TensorFlow.
READOUTS: tuple[str, ...] = (POSITIONS, CTC)


@dataclasses.dataclass(frozen=True)
class NetworkEntry:
    """`module` holds the function `build`; `smallest` is in pixels each way.

    A network of `any_size` works at the size that suits the characters; the others take images as they are. The
    `revision` counts how often its layers have changed: weights of another one may fit in shape and read nonsense.
    """

    module: str
    has_positions: bool = True  # it can give a logit vector for each position of a code
    has_columns: bool = False  # it can give one for each column of the image, which ctc takes
    smallest: int = 1
    any_size: bool = False
    revision: int = 1

    @property
    def readouts(self) -> tuple[str, ...]:
        """The readouts it can be read with, the usual one first."""
        return (POSITIONS,) * self.has_positions + (CTC,) * self.has_columns


CATALOGUE: dict[str, NetworkEntry] = {
    "alexnet": NetworkEntry("alexnet.alexnet", has_columns=True, smallest=16, any_size=True, revision=3),
    "alexnet_large": NetworkEntry("alexnet.alexnet_large", has_columns=True, smallest=16, any_size=True, revision=2),
    "alexnet_v2": NetworkEntry("alexnet.alexnet_v2"),  # it resizes every image
    "three_conv": NetworkEntry("alexnet.three_conv", smallest=8),
    "nptu": NetworkEntry("alexnet.nptu", smallest=16),
    "percent4": NetworkEntry("alexnet.percent4", smallest=16),
    "vgg": NetworkEntry("alexnet.vgg", smallest=16),
    "crnn": NetworkEntry("alexnet.crnn", has_positions=False, has_columns=True, smallest=16, any_size=True),
}


def networks_for(readout: str) -> tuple[str, ...]:
    """The names of the networks that `readout` can read."""
    return tuple(name for name, entry in CATALOGUE.items() if readout in entry.readouts)


def problem(network: str, readout: str, height: int, width: int) -> str | None:
    """Why a network cannot read images of this size with this readout, or None where it can."""
    entry = CATALOGUE[network]
    if readout not in entry.readouts:
        has, lacks = ("columns", "positions") if readout == POSITIONS else ("one head for each position", "columns")
        return f"{network} has {has} and no {lacks} for --readout={readout}: use {' or '.join(networks_for(readout))}"
    if min(height, width) < entry.smallest:
        return f"{network} needs at least {entry.smallest}x{entry.smallest} pixels"
    return None
