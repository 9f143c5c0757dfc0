"""Draws how fast digitwise is beside others: python -m benchmarks.chart RESULTS.jsonl [--picture=docs/speed.png]

RESULTS.jsonl holds lines that `python -m benchmarks.compare` printed, one for each machine or run; the picture shows
the ratios of the last of them, each with its spread. One line of JSON: the picture, and how many ratios it shows.
"""

import argparse
import json
import pathlib
from collections.abc import Mapping, Sequence

from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, NullFormatter

NAMES: dict[str, str] = {
    "captcha_loop": "rendering a code\nagainst the captcha package's loop",
    "plain_tf_data": "reading batches from records\nagainst a plain tf.data pipeline",
    "keras_predict": "reading batches of 64 images\nagainst Model.predict",
    "pytorch_reading": "reading batches of 64 images\nagainst the same network in PyTorch",
    "pytorch_reading_file": "the same from an exported file\nagainst the same network in PyTorch",
    "pytorch_training": "training steps of 64 images\nagainst the same network in PyTorch",
    "ddddocr": "reading image files\nagainst ddddocr",
}
_TOY = {"median": 2.0, "lowest": 1.5, "highest": 3.0}
_COLOR, _SPREAD_COLOR = "#3b6ea8", "#1c2b3a"


def last_ratios(lines: Sequence[str]) -> dict[str, Mapping[str, float]]:
    """{peer: {median, lowest, highest}} of the last line that compares."""
    results = [json.loads(line) for line in lines if line.strip()]
    compared = [result for result in results if result["benchmark"] == "compare"]
    if not compared:
        raise SystemExit("no line of these results is from benchmarks.compare")
    ratios: dict[str, Mapping[str, float]] = compared[-1]["times_as_fast"]
    return ratios


def draw(ratios: Mapping[str, Mapping[str, float]], picture: pathlib.Path) -> None:
    """A bar for each peer, from 1 (as fast) to how many times as fast digitwise is; left of 1 it is slower."""
    names = [NAMES.get(peer, peer) for peer in ratios]
    medians = [ratio["median"] for ratio in ratios.values()]
    figure = Figure(figsize=(8, 0.7 + 0.75 * len(ratios)), layout="constrained")
    axes = figure.subplots()
    axes.barh(names, [median - 1 for median in medians], left=1, color=_COLOR, height=0.5)
    for row, ratio in enumerate(ratios.values()):
        axes.plot([ratio["lowest"], ratio["highest"]], [row, row], color=_SPREAD_COLOR, linewidth=1.5)
        right_end = max(1.0, ratio["highest"])
        axes.annotate(f"{ratio['median']:.2g}", (right_end, row), (6, 0), textcoords="offset points", va="center")
    # Half as fast and twice as fast are equally far from 1.
    axes.set_xscale("log", base=2)
    axes.set_xlim(min(0.5, *(ratio["lowest"] / 1.2 for ratio in ratios.values())), 1.5 * max(medians + [2.0]))
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    axes.xaxis.set_minor_formatter(NullFormatter())
    axes.axvline(1, color="black", linewidth=0.8)
    axes.invert_yaxis()
    axes.tick_params(axis="y", length=0)
    figure.suptitle("digitwise beside others, in processor time", fontweight="bold")
    axes.set_xlabel("times as fast in the same run (line: slowest to fastest round)")
    for side in ("top", "right", "left"):
        axes.spines[side].set_visible(False)
    figure.savefig(picture, dpi=120)


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--toy", action="store_true")
    parser.add_argument("--picture", default="docs/speed.png")
    parser.add_argument("results", nargs="?", default="docs/speed.jsonl")
    given = parser.parse_args(arguments)
    if given.toy:
        import tempfile

        with tempfile.TemporaryDirectory() as folder:
            draw({"captcha_loop": _TOY}, pathlib.Path(folder) / "chart.png")
        print(json.dumps({"benchmark": "chart", "picture": None, "ratios": 1}))
        return
    ratios = last_ratios(pathlib.Path(given.results).read_text().splitlines())
    draw(ratios, pathlib.Path(given.picture))
    print(json.dumps({"benchmark": "chart", "picture": given.picture, "ratios": len(ratios)}))


if __name__ == "__main__":
    main()
