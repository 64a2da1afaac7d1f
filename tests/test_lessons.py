"""Every lesson runs from top to bottom, as nbdev runs it; and the modules obey the order of the course."""

import ast
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
LESSONS = sorted([*(ROOT / "nbs").glob("[0-9]*.ipynb"), *(ROOT / "nbs" / "exercises").glob("[0-9]*.ipynb")])
ORDER = ["assets", "data", "models", "freezing", "training", "evaluation", "exercises", "cage", "grading", "cli"]


@pytest.mark.parametrize("lesson", LESSONS, ids=lambda p: p.stem)
def test_lesson_runs(lesson, tmp_path, request):
    if lesson.stem.startswith("12"): request.getfixturevalue("some_cage")
    env = os.environ | {
        "FTCOURSE_PROFILE": "quick",
        "FTCOURSE_PROGRESS": "0",
        "TMPDIR": str(tmp_path),
        "MPLBACKEND": "agg",
    }
    command = [Path(sys.executable).with_name("nbdev_test"), "--path", lesson, "--n_workers", "1"]
    start = time.monotonic()
    done = subprocess.run(command, cwd=ROOT, env=env, capture_output=True, text=True, timeout=600)
    assert done.returncode == 0, (done.stdout + done.stderr)[-4000:]
    print(f"{lesson.stem}: {time.monotonic() - start:.0f} s")


def test_there_are_lessons():
    assert len(LESSONS) >= 8


def imported(module: str) -> set[str]:
    """The modules of ftcourse that a module of ftcourse imports, anywhere in its code."""
    tree = ast.parse((ROOT / "ftcourse" / f"{module}.py").read_text())
    names = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and node.module and (node.level or node.module.startswith("ftcourse")):
            names.add(node.module.removeprefix("ftcourse").strip(".").split(".")[0])
        if isinstance(node, ast.Import):
            names |= {a.name.split(".")[1] for a in node.names if a.name.startswith("ftcourse.")}
    return names - {""}


@pytest.mark.parametrize("module", ORDER)
def test_imports_point_upward_only(module):
    assert imported(module) <= set(ORDER[: ORDER.index(module)])


def test_every_module_is_in_the_order():
    assert {p.stem for p in (ROOT / "ftcourse").glob("[a-z]*.py")} == set(ORDER)


@pytest.mark.parametrize("lesson", LESSONS, ids=lambda p: p.stem)
def test_lesson_needs_nothing_of_nbdev(lesson):
    text = lesson.read_text()
    assert (
        "import nbdev" not in text
        and "from nbdev" not in text
        and "fastcore" not in text
        and "import pytest" not in text
    )


def test_package_exports_its_names():
    import ftcourse

    for name in ftcourse.__all__:
        assert getattr(ftcourse, name).__module__.startswith("ftcourse.")
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        ftcourse.nothing  # noqa: B018
