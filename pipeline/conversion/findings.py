"""What the records stage found out by itself about images and codes, in lines for people."""

from pipeline.conversion.forms import ImageForm
from pipeline.conversion.sources import CodeSource
from pipeline.conversion.survey import Survey
from pipeline.model.look_alikes import pairs_of
from records.alphabet import Alphabet
from records.errors import quoted
from records.images.files import COLOUR, GREY, StoredForm

_SHOWN = 4
_RARE = 0.1  # of how often a character occurs in the mean


def code_lines(found: CodeSource, surveyed: Survey) -> list[str]:
    """Which codes were taken from the first images: names of files may not be what they show."""
    if found.is_drawn or found.reader:
        return []
    shown = ", ".join(f"{quoted(code)} ({key.rpartition('/')[2]})" for code, key in surveyed.examples.items())
    if len(surveyed.examples) == 1 < surveyed.total:
        return [
            f"warning: all {surveyed.total:,} images have one code, {shown}: a network learns nothing from them; where "
            "names are not codes, give a labels.csv or --label_pattern"
        ]
    return [f"codes such as {shown}"]


def alphabet_lines(found: CodeSource, surveyed: Survey) -> list[str]:
    """The alphabet where it was found in the codes, and which of its characters may be mistakes in labels."""
    if found.alphabet:
        return []
    alphabet = Alphabet(surveyed.alphabet)
    lines = [f"the codes have {len(alphabet)} different characters: {alphabet.characters}"]
    counts = surveyed.characters
    mean = sum(counts.values()) / len(counts)
    rare = [character for character in alphabet.characters if counts[character] <= _RARE * mean]
    if rare:
        shown = _listed([_counted(found, surveyed, character) for character in rare])
        lines.append(f"rare characters, perhaps mistakes in labels: {shown}")
    pairs = pairs_of(alphabet.characters)
    if pairs:
        # The rarer of the two is the likelier mistake, so its example is the one to check.
        rarer = [min(pair, key=lambda character: counts[character]) for pair in pairs]
        shown = _listed(
            [f"{' and '.join(pair)} ({_example(found, surveyed, one)})" for pair, one in zip(pairs, rarer, strict=True)]
        )
        lines.append(f"look-alikes, which --alphabet or --fold_case would rule out if labels mix them up: {shown}")
    return lines


def _all_of(form: StoredForm) -> str:
    return f"all {'become' if form.resize else 'must be'} {form.width}x{form.height}"


def image_lines(found: CodeSource, images: ImageForm) -> list[str]:
    """What images of several sizes and kinds become."""
    measured, form = images.measured, images.stored
    if measured is None:
        return []
    lines = []
    sizes = measured.sizes
    if sizes.vary:
        (least_width, least_height), (width, height) = sizes.smallest, sizes.largest
        what = "each image keeps its own" if form.width is None else _all_of(form)
        lines.append(
            f"images of {len(sizes.distinct):,} sizes, {_range(least_width, width)} pixels wide and "
            f"{_range(least_height, height)} high: {what}"
        )
    if len(measured.kinds) > 1 or not set(measured.kinds) <= {GREY, COLOUR}:
        kinds = sorted(measured.kinds.items(), key=lambda entry: -entry[1].count)
        counted = [f"{kind.count:,} {name} ({found.source.name(kind.first)})" for name, kind in kinds]
        lines.append(f"images are stored in {'grey' if form.channels == 1 else 'colour'}: {'; '.join(counted)}")
    if conflict := measured.conflict:
        pair = f"{found.source.name(conflict.first)} and {found.source.name(conflict.second)}"
        lines.append(f"warning: {conflict.count:,} images are the same as others with another code, such as {pair}")
    return lines


def _counted(found: CodeSource, surveyed: Survey, character: str) -> str:
    count = surveyed.characters[character]
    times = "once" if count == 1 else f"{count:,} times"
    return f"{quoted(character)} {times} ({_example(found, surveyed, character)})"


def _example(found: CodeSource, surveyed: Survey, character: str) -> str:
    return found.source.name(surveyed.first[character])


def _listed(items: list[str]) -> str:
    left = len(items) - _SHOWN
    return ", ".join(items[:_SHOWN]) + (f" and {left} more" if left > 0 else "")


def _range(least: int, most: int) -> str:
    return f"{most}" if least == most else f"{least} to {most}"
