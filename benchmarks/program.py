"""What the benchmarks that run the whole program have in common.

run_main(f"--workdir={folder}", "--stage=all")
given_flags(__doc__, None)          # those of the command line, for main.py
"""

import argparse
import pathlib
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence

MAIN = pathlib.Path(__file__).resolve().parent.parent / "main.py"
# The whole way, as small as it goes.
TOY = (
    "--num_images=60 --image_size=40x20 --code_length=1 --font_sizes=14 --network=percent4 --epochs=1 --batch_size=20 "
    "--validation_fraction=0.2 --test_fraction=0.2 --workers=1"
)


def command(*flags: str, main: pathlib.Path = MAIN) -> list[str]:
    return [sys.executable, str(main), *flags]


def lines_of(program: Sequence[str], environment: Mapping[str, str] | None = None) -> Iterator[str]:
    """What it prints, while it runs. That goes to stderr too, as only the result of a benchmark belongs on stdout;
    SystemExit where it ends with an error."""
    with subprocess.Popen(program, stdout=subprocess.PIPE, text=True, env=environment) as process:
        assert process.stdout
        for line in process.stdout:
            sys.stderr.write(line)
            yield line
    if process.returncode:
        sys.exit(f"{' '.join(program)} ended with exit code {process.returncode}")


def run_program(program: Sequence[str], environment: Mapping[str, str] | None = None) -> None:
    for _ in lines_of(program, environment):
        pass


def run_main(*flags: str) -> None:
    run_program(command(*flags))


def given_flags(doc: str | None, arguments: Sequence[str] | None) -> list[str]:
    """What the command line of a benchmark says for main.py: those of --toy, and all after --."""
    parser = argparse.ArgumentParser(description=(doc or "").splitlines()[0])
    parser.add_argument("--toy", action="store_true")
    parser.add_argument("arguments", nargs="*", help="for main.py, after --")
    given = parser.parse_args(arguments)
    return [*(TOY.split() if given.toy else ()), *given.arguments]
