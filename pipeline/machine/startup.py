"""What a process sets up before it works: its own environment, its streams, and the import of TensorFlow."""

import contextlib
import glob
import logging
import os
import pathlib
import sys
import tempfile
from collections.abc import Iterator
from typing import BinaryIO

from records.errors import DigitwiseError, printable


def own_environment(cache: pathlib.Path) -> None:
    """Makes results independent of the user's settings for libraries, and keeps what libraries store in `cache`.

    Call it before Keras or Matplotlib is imported. Child processes inherit it.
    """
    # Networks and checkpoints are made for this backend and for channels last, whatever ~/.keras/keras.json says. There
    # can be no file below os.devnull, so Keras finds no settings there and leaves none.
    os.environ["KERAS_BACKEND"] = "tensorflow"
    os.environ["KERAS_HOME"] = os.devnull
    # Matplotlib lists all fonts of the machine once, which takes seconds, and stores the list here.
    os.environ.setdefault("MPLCONFIGDIR", str((cache / "matplotlib").absolute()))
    # And warns that this takes a moment.
    logging.getLogger("matplotlib").setLevel(logging.ERROR)


def usable_streams() -> None:
    """Lets any text be printed: where the terminal or file cannot hold a character, its escape is printed."""
    for name in ("stdout", "stderr"):
        if getattr(sys, name) is None:  # closed by whoever started the program
            setattr(sys, name, open(os.devnull, "w", encoding="utf-8"))  # noqa: SIM115  it stays open
        stream = getattr(sys, name)
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="backslashreplace")
    if hasattr(sys.stdin, "reconfigure"):
        # As Python names files: a list of them may have names that are not UTF-8.
        sys.stdin.reconfigure(errors="surrogateescape")


@contextlib.contextmanager
def safe_path() -> Iterator[None]:
    """Child processes started in the block do not import modules from the current directory.

    Python puts that directory first for `python -c`, which is how child processes are started, so a tensorflow.py or
    json.py beside the user's images would be run.
    """
    before = os.environ.get("PYTHONSAFEPATH")
    os.environ["PYTHONSAFEPATH"] = "1"
    try:
        yield
    finally:
        if before is None:
            del os.environ["PYTHONSAFEPATH"]
        else:
            os.environ["PYTHONSAFEPATH"] = before


def fast_kernels() -> None:
    """Lets TensorFlow compute with oneDNN, if it is not imported yet and the user does not say otherwise.

    TensorFlow does so by itself only on processors with instructions for neural networks. On one with AVX2 alone,
    oneDNN makes a training step twice as fast. Where there is no such library the variable has no effect.
    """
    os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "1")


def import_tensorflow() -> None:
    """Imports TensorFlow and initializes its devices, without the page of notes that it prints on machines without a
    GPU; its notes are shown only if there is a GPU that it did not find, or if the import fails."""
    if "tensorflow" in sys.modules:
        return
    # Warnings of C++ are off from here on; what is printed before TensorFlow reads this is what _errors_into catches.
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
    fast_kernels()
    with tempfile.TemporaryFile() as notes:
        try:
            with _errors_into(notes):
                import tensorflow as tf

                # Looks for GPUs now, so that its notes on them are caught too.
                found = tf.config.list_physical_devices("GPU")
                tf.get_logger().setLevel("WARNING")  # several workers report every exchange
        except ImportError as error:
            _show(notes)
            raise DigitwiseError(
                f"TensorFlow cannot be imported ({printable(str(error))}): pip install --force-reinstall tensorflow"
            ) from error
        except Exception:  # of Ctrl-C its notes say nothing
            _show(notes)
            raise
        if glob.glob("/dev/nvidia[0-9]*") and not found:
            _show(notes)


@contextlib.contextmanager
def _errors_into(file: BinaryIO) -> Iterator[None]:
    """What the process writes to its standard error goes into `file`, from C++ too."""
    sys.stderr.flush()
    try:
        # At the level of the file descriptor: C++ does not write through Python's sys.stderr.
        kept = os.dup(2)
    except OSError:  # standard error is closed
        yield
        return
    os.dup2(file.fileno(), 2)
    try:
        yield
    finally:
        os.dup2(kept, 2)
        os.close(kept)


def _show(file: BinaryIO) -> None:
    file.seek(0)
    sys.stderr.write(file.read().decode(errors="replace"))
