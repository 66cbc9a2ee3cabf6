"""What tests call where the mock is the driver, and the ways in which a driver refuses."""

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
    """Whether whoever opened the library closed it again."""
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
    """Return what is said of a card that cannot be read any more."""
    try:
        read(uuid)
    except CardLost as lost:
        assert is_closed()
        return f"{lost.message}; {lost.hint}"
    raise AssertionError
