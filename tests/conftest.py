"""Shared by all tests: the quick profile, a small real task, and one thread a core."""

import os
import signal

os.environ.setdefault("FTCOURSE_PROFILE", "quick")
os.environ.setdefault("FTCOURSE_PROGRESS", "0")
signal.signal(signal.SIGINT, signal.default_int_handler)  # what runs in the background may be told to ignore Ctrl-C

import pytest  # noqa: E402


@pytest.fixture(scope="session")
def cifar():
    from ftcourse.data import load_task

    return load_task("cifar10")


@pytest.fixture(scope="session")
def tiny(cifar):
    """Ten classes of real images: 60 to learn from, 20 to choose by, 20 to test on."""
    from ftcourse.data import Task

    splits = {"train": cifar.train.per_class(6), "valid": cifar.valid.per_class(2), "test": cifar.test.per_class(2)}
    return Task(**{**vars(cifar), **splits})


@pytest.fixture
def one_thread():
    """For networks and batches so small that a second thread costs more than it gives."""
    import torch

    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


def cage_or_skip(*args, **options):
    """A cage; the test is skipped where the system allows none."""
    from ftcourse.cage import Cage, CageError

    try: return Cage(*args, **options)
    except CageError as error: pytest.skip(str(error))


@pytest.fixture(scope="session")
def some_cage():
    """For what builds a cage of its own: there is a way to build one here."""
    cage_or_skip().close()
