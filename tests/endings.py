"""Ways in which a function in a process of its own may end; a module by itself, so that the process imports little."""

import os
import signal
import time

from pipeline.values import SettingError
from records.errors import DigitwiseError


def double(number):
    return 2 * number


def refuse():
    raise DigitwiseError("no")


def refuse_setting():
    raise SettingError("--this is wrong")


def fill_disk():
    raise OSError("disk full")


def fail():
    raise AssertionError


def leave(code):
    raise SystemExit(code)


def interrupt():
    raise KeyboardInterrupt


def die():
    os.kill(os.getpid(), signal.SIGKILL)


def sleep_until_told(path):
    signal.signal(signal.SIGTERM, lambda *_: open(path, "w").close() or os._exit(143))
    open(path + ".ready", "w").close()
    time.sleep(60)
