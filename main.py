"""digitwise learns to read short codes in images: captchas, serial numbers, meter readings.

python main.py --stage=all                    draw codes, write TFRecords, train, test
python main.py --stage=records                only serialize what is in workdir/images
python main.py --stage=all --images=DIR       the same with labelled images of your own
python main.py --stage=check                  what this machine has, and whether the records are sound
"""

import contextlib
import os
import signal
import sys

try:
    from absl import app, flags
except ImportError:
    sys.exit("error: the package absl-py is missing; install what this program needs with: pip install -e .")

from flags import options
from pipeline.config import SettingError


def main(argv):
    if len(argv) > 1:
        return _fail(f"what is {argv[1]!r}? Settings are flags, such as --stage=all; --help lists them")
    try:
        return _run(options.config_from_flags())
    except SettingError as error:
        return _fail(error)


def _run(config):
    from pipeline.stages.run import run_stages
    from records.errors import DigitwiseError

    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))
    try:
        return run_stages(config)
    except KeyboardInterrupt:
        print("\ninterrupted: the same command goes on from here", file=sys.stderr)
        return 130
    except DigitwiseError as error:
        return _fail(error)
    except OSError as error:
        if error.filename is None and error.errno is None:
            raise
        where = f" ({error.filename})" if error.filename else ""
        return _fail(f"{error.strerror or error}{where}")


def _fail(message):
    """One line on stderr; the traceback too where --verbosity=1 asks for it."""
    if flags.FLAGS.verbosity > 0 and sys.exc_info()[0]:
        raise
    print(f"error: {message}", file=sys.stderr)
    return 1


def _parse(arguments):
    """The flags' own parser, but for a --help that is grouped by stage and ends well."""
    if any(argument.split("=")[0] in ("--help", "-help", "-h", "-?") for argument in arguments[1:]):
        with contextlib.suppress(BrokenPipeError):
            print(__doc__ + options.help_text(arguments[0]), flush=True)
        os._exit(0)
    try:
        return flags.FLAGS(arguments)
    except flags.Error as error:
        said = str(error).removeprefix("ERROR:: ")  # where a file of flags cannot be opened
        print(f"error: {said}\n{arguments[0]} --help lists the flags", file=sys.stderr)
        sys.exit(1)


def run():
    """The console command."""
    app.run(main, flags_parser=_parse)


if __name__ == "__main__":
    run()
