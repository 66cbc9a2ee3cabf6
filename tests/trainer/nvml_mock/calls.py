"""Functions that tests call in the process with the mock driver, and the errors of a driver."""

import pynvml

from tests.trainer.nvml_mock.machine import uuid_of
from trainer.cards.cards import Cards, probe_cards
from trainer.cards.nvml import CardLost, CardReader, Reading

REFUSALS = {
    "not supported": pynvml.NVML_ERROR_NOT_SUPPORTED,
    "no permission": pynvml.NVML_ERROR_NO_PERMISSION,
    "not in this driver": pynvml.NVML_ERROR_FUNCTION_NOT_FOUND,
    "another version of a struct": pynvml.NVML_ERROR_ARGUMENT_VERSION_MISMATCH,
    "no reason": pynvml.NVML_ERROR_UNKNOWN,
}


def probed() -> Cards:
    found = probe_cards()
    assert is_closed()
    return found


def is_closed() -> bool:
    """Return True if the library was closed by all who opened it."""
    try:
        pynvml.nvmlDeviceGetCount()
    except pynvml.NVMLError as error:
        return error.value == pynvml.NVML_ERROR_UNINITIALIZED
    return False


def read(uuid: str = uuid_of(0)) -> Reading:
    reader = CardReader(uuid)
    reader.open()
    try:
        return reader.read()
    finally:
        reader.close()


def lost(uuid: str = uuid_of(0)) -> str:
    """Return the message about a card that can no longer be read."""
    try:
        read(uuid)
    except CardLost as lost:
        assert is_closed()
        return f"{lost.message}; {lost.hint}"
    raise AssertionError
