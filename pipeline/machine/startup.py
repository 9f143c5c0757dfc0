"""The import of TensorFlow, without the page of notes that it writes on every machine that has no GPU."""

import contextlib
import glob
import os
import sys
import tempfile


def import_tensorflow():
    """Imports TensorFlow and wakes its devices; what it says is shown only where a GPU is there and not found."""
    if "tensorflow" in sys.modules:
        return
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
    with tempfile.TemporaryFile() as said:
        try:
            with _errors_into(said):
                import tensorflow as tf

                found = tf.config.list_physical_devices("GPU")
                tf.get_logger().setLevel("WARNING")  # several workers tell of every exchange
        except BaseException:
            _show(said)
            raise
        if glob.glob("/dev/nvidia[0-9]*") and not found:
            _show(said)


@contextlib.contextmanager
def _errors_into(file):
    """What the process writes to its standard error, in C++ too, goes into `file`."""
    sys.stderr.flush()
    kept = os.dup(2)
    os.dup2(file.fileno(), 2)
    try:
        yield
    finally:
        os.dup2(kept, 2)
        os.close(kept)


def _show(file):
    file.seek(0)
    sys.stderr.write(file.read().decode(errors="replace"))
