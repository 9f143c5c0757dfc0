"""digitwise learns to read short codes in images: captchas, serial numbers, meter readings.

python main.py --stage=all                    generate images, write TFRecords, train, test
python main.py --stage=all --images=DIR       the same with your own labelled images
python main.py --stage=records                only write TFRecords from the images in workdir/images
python main.py --stage=check                  check this machine, and verify the records in the workdir
"""

import contextlib
import os
import signal
import sys
from typing import NoReturn

try:
    from absl import app, flags
except ImportError:
    sys.exit("error: the package absl-py is missing; install the dependencies with: pip install -e .")

from flags import options
from pipeline.config import RunConfig
from pipeline.machine.startup import usable_streams
from records.errors import DigitwiseError

_INTERRUPTED, _TERMINATED = 128 + signal.SIGINT, 128 + signal.SIGTERM  # exit codes, as shells report these signals


def main(argv: list[str]) -> int:
    if len(argv) > 1:
        return _fail(f"unexpected argument {argv[1]!r}: settings are flags, such as --stage=all; --help lists them")
    try:
        config = options.config_from_flags()
        if unused := options.without_effect(config):
            given = "--images" if config.records.images else "--records"
            print(f"note: {', '.join(unused)}: without effect beside {given}, as no synthetic images take part")
        return _run(config)
    except DigitwiseError as error:
        return _fail(str(error))
    except OSError as error:
        # Raised by a library with a text alone: this is no matter of disks or files, and its traceback is needed.
        if error.filename is None and error.errno is None:
            raise
        where = f" ({error.filename})" if error.filename else ""
        return _fail(f"{error.strerror or error}{where}")


def _run(config: RunConfig) -> int:
    # Only once all flags are valid, so that --help and a wrong flag answer at once.
    from pipeline.stages.run import run_stages

    return run_stages(config)


def _heed_signals() -> None:
    # By default SIGTERM ends Python without `finally`: partial files and child processes would stay.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(_TERMINATED))
    if signal.getsignal(signal.SIGINT) is signal.default_int_handler:  # a background job ignores it
        signal.signal(signal.SIGINT, _interrupt_once)


def _interrupt_once(*_: object) -> NoReturn:
    """Cleaning up takes a moment; a second Ctrl-C in that time must not interrupt it, which could leave it waiting."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    raise KeyboardInterrupt


def _fail(message: str) -> int:
    """One line on stderr; with --verbosity=1 the traceback instead."""
    error = sys.exc_info()[1]
    if error and flags.FLAGS.verbosity > 0:
        raise error
    print(f"error: {message}", file=sys.stderr)
    return 1


def parse(arguments: list[str]) -> list[str]:
    """absl's own parser, except that --help is grouped by stage and exits with 0."""
    if any(argument.split("=")[0] in ("--help", "-help", "-h", "-?") for argument in arguments[1:]):
        with contextlib.suppress(BrokenPipeError):
            print(__doc__ + options.help_text(arguments[0]), flush=True)
        # Not sys.exit: that flushes stdout again, which fails once more where the reader, such as `head`, has gone.
        os._exit(0)
    try:
        return list(flags.FLAGS(arguments))
    except flags.UnrecognizedFlagError as error:
        _refuse(arguments[0], options.unknown_flag(error.flagname))
    except flags.Error as error:
        # absl's prefixes: one of a --flagfile that cannot be opened, one of a value that cannot be used.
        _refuse(arguments[0], str(error).removeprefix("ERROR:: ").removeprefix("flag "))
    except UnicodeDecodeError as error:
        _refuse(arguments[0], f"--flagfile: the file is not UTF-8 text (byte {error.start}: {error.reason})")
    except ValueError as error:  # a NUL in the name of a --flagfile
        _refuse(arguments[0], f"--flagfile: {error}")


def _refuse(program: str, message: str) -> NoReturn:
    print(f"error: {message}\n{program} --help lists the flags", file=sys.stderr)
    sys.exit(1)


def run() -> None:
    """The console command."""
    usable_streams()
    os.environ["PYTHONSAFEPATH"] = "1"  # for child processes: the current directory holds no modules of ours
    _heed_signals()  # before the imports that take time
    try:
        app.run(main, flags_parser=parse)
    except KeyboardInterrupt:
        print("\ninterrupted: run the same command again to continue", file=sys.stderr)
        sys.exit(_INTERRUPTED)
    except SystemExit as ended:
        if ended.code == _TERMINATED:
            print("\nterminated: run the same command again to continue", file=sys.stderr)
        raise
    finally:
        signal.signal(signal.SIGINT, signal.SIG_IGN)  # Python itself would be killed by it while it ends


if __name__ == "__main__":
    run()
