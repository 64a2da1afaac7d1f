"""Every lesson runs from top to bottom, as nbdev runs it; and the modules obey the order of the course."""

import ast
import json
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
LESSONS = sorted([*(ROOT / "nbs").glob("[0-9]*.ipynb"), *(ROOT / "nbs" / "exercises").glob("[0-9]*.ipynb")])
ORDER = ["assets", "data", "models", "freezing", "training", "evaluation", "strategies", "mistakes", "explain",
         "widgets", "exercises", "cage", "grading", "lab", "cli"]


@pytest.mark.parametrize("lesson", LESSONS, ids=lambda p: p.stem)
def test_lesson_runs(lesson, tmp_path, request):
    if lesson.stem in ("12_cage", "12_grading"): request.getfixturevalue("some_cage")
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


def calls(lesson: Path) -> list[tuple[int, ast.Call]]:
    """Every call in a lesson's code, with the number of its cell."""
    cells = [c for c in json.loads(lesson.read_text())["cells"] if c["cell_type"] == "code"]
    trees = [ast.parse("".join(cell["source"])) for cell in cells]
    return [(i, node) for i, tree in enumerate(trees) for node in ast.walk(tree) if isinstance(node, ast.Call)]


@pytest.mark.parametrize("lesson", sorted((ROOT / "nbs").glob("[0-9]*.ipynb")), ids=lambda p: p.stem)
def test_every_lesson_asks_for_a_guess_and_gives_something_to_move(lesson):
    from ftcourse import widgets

    kinds = {k.__name__ for k in vars(widgets).values() if isinstance(k, type) and issubclass(k, widgets.Interactive)}
    made = calls(lesson)
    named = [(i, call) for i, call in made if isinstance(call.func, ast.Name)]
    guesses = [i for i, call in named if call.func.id == "Guess"]
    reveals = [i for i, call in made if isinstance(call.func, ast.Attribute) and call.func.attr == "reveal"]
    assert guesses and reveals
    assert max(reveals) > min(guesses), "the number has to come in a later cell than the question"
    assert any(call.func.id in kinds - {"Interactive", "Guess"} for _, call in named)


@pytest.mark.parametrize("lesson", sorted((ROOT / "nbs").glob("[0-9]*.ipynb")), ids=lambda p: p.stem)
def test_every_lesson_promises_a_number_and_its_stored_run_keeps_it(lesson):
    """A metric, a band and the machine class stand in the lesson; the stored run lies in the band."""
    cells = [c for c in json.loads(lesson.read_text())["cells"] if c["cell_type"] == "code"]
    promised = {i for i, call in calls(lesson) for key in call.keywords if key.arg == "expect"}
    assert promised
    for i in promised:
        told = json.dumps(cells[i]["outputs"])
        assert "Expected, on two CPU cores in the profile quick" in told and "yours lies inside" in told, told[-500:]


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
