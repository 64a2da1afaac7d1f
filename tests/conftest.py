"""Shared by all tests: the quick profile, a small real task, and one thread a core."""

import os
import signal
from pathlib import Path

os.environ.setdefault("FTCOURSE_PROFILE", "quick")
os.environ.setdefault("FTCOURSE_PROGRESS", "0")
signal.signal(signal.SIGINT, signal.default_int_handler)  # what runs in the background may be told to ignore Ctrl-C

import browser  # noqa: E402
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


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(config, items):
    """A lesson that the browser runs is not run a second time; where there is no browser, nbdev runs it."""
    def lessons(test): return {item: item.callspec.params["lesson"] for item in items if item.originalname == test}

    if not browser.chromium(): return
    seen = set(lessons("test_a_lesson_runs_in_the_browser").values())
    again = [item for item, lesson in lessons("test_lesson_runs").items() if lesson in seen]
    config.hook.pytest_deselected(items=again)
    items[:] = [item for item in items if item not in again]


@pytest.fixture(scope="session")
def jupyter(tmp_path_factory):
    """The address of a running `ftcourse lab` and the folder that it serves."""
    with browser.serve(tmp_path_factory.mktemp("jupyter")) as place: yield place


@pytest.fixture(scope="module")
def chromium():
    """A browser. It ends with its module: while it lives, asyncio.run fails in this thread."""
    if not (path := browser.chromium()): pytest.skip("no Chromium here: apt-get install chromium; pip install '.[dev]'")
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        with playwright.chromium.launch(executable_path=path) as running: yield running


@pytest.fixture
def lab(chromium, jupyter, tmp_path):
    """JupyterLab in a fresh page. At the end its kernels are closed, and no error may stand in the page's console."""
    pictures = Path(os.environ.get("FTCOURSE_SCREENSHOTS", tmp_path))
    with chromium.new_context(viewport={"width": 1280, "height": 900}) as context:
        lab = browser.Lab(context.new_page(), *jupyter, pictures)
        yield lab
        lab.close_kernels()
    assert lab.complaints == []
