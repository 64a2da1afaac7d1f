"""Every exercise: its solution is right, its stub is not, and every wrong answer is named; over several seeds."""

import ast
import importlib.util
import json
import math
import re
import subprocess
import sys
import warnings
import zipfile
from pathlib import Path

import pytest

from ftcourse.exercises import (
    _SOLUTION,
    ask,
    catalogue,
    difference,
    draw_inputs,
    edition,
    exercises_in,
    find_key,
    judge,
    notebook,
    read_cells,
    sources,
)

HERE = Path(__file__).parent
SOLUTIONS = {}
for path in sources():
    setup = ""
    for kind, text in read_cells(path.read_bytes(), path.name):
        if found := _SOLUTION.match(text): SOLUTIONS[found[1]] = f"{setup}\n{text}"
        elif kind == "code" and text.startswith(("import", "from")): setup += text + "\n"

WRONG = {}
for path in sorted((HERE / "wrong").glob("*.py")):
    spec = importlib.util.spec_from_file_location(path.stem, path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    WRONG |= module.WRONG
CASES = [(id, i) for id, answers in WRONG.items() for i in range(len(answers))]
IDS = list(catalogue())


def verdict(id, code, seed):
    key, space = find_key(id), {"__name__": "__main__"}
    exec(compile(code, "a learner's cell", "exec"), space)
    answer, inputs = space[catalogue()[id].answer], draw_inputs(key, seed)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return judge(key, inputs, [ask(key.probe, answer, given, key.lesson_library()) for given in inputs])


@pytest.mark.parametrize("id", IDS)
def test_the_solution_is_right(id, one_thread):
    for seed in range(3):
        found = verdict(id, SOLUTIONS[id], seed)
        assert found, found


@pytest.mark.parametrize("id", IDS)
def test_the_stub_is_not(id, one_thread):
    setup = SOLUTIONS[id].partition("#| solution")[0]
    assert not verdict(id, setup + catalogue()[id].stub, 0)


@pytest.mark.parametrize("id, i", CASES)
def test_a_wrong_answer_is_named(id, i, one_thread):
    named, code = WRONG[id][i]
    setup = SOLUTIONS[id].partition("#| solution")[0]
    for seed in range(2):
        found = verdict(id, setup + code, seed)
        assert not found and named in found.message, f"seed {seed}: {found}"


def test_there_are_enough_of_them():
    assert len(IDS) >= 40 and set(WRONG) == set(IDS)
    assert min(len(answers) for answers in WRONG.values()) >= 3 and len(CASES) >= 120
    assert sum(exercise.points for exercise in catalogue().values()) > 2 * len(IDS) - 1


@pytest.mark.parametrize("id", IDS)
def test_the_mistakes_of_a_key_are_mistakes(id, one_thread):
    """Each is told apart from the right answer and from the others, on some of a few seeds."""
    key = find_key(id)
    assert len(key.mistakes) >= 3
    named = set()
    for seed in range(4):
        for given in draw_inputs(key, seed):
            replies = {text: ask(key.probe, function, given) for text, function in key.mistakes.items()}
            if key.why: named |= {judge(key, [given], [reply]).message for reply in replies.values()}
            else: named |= first_alike(ask(key.probe, key.answer, given)["value"], replies, key.tolerance)
    assert set(key.mistakes) <= named, f"never named: {set(key.mistakes) - named}"


def first_alike(right, replies, tolerance):
    """What the judge would name, with every function called once: for each wrong reply, the first mistake that equals it."""
    values = {text: reply["value"] for text, reply in replies.items() if "value" in reply}
    wrong = [value for value in values.values() if difference(value, right, tolerance)]
    return {next(text for text, other in values.items() if difference(value, other, tolerance) is None) for value in wrong}


def test_only_infinity_equals_infinity():
    for value in (1.0, -math.inf, math.nan): assert difference(value, math.inf)
    assert difference(math.inf, math.inf) is None and difference(1.0, 1.0) is None


@pytest.mark.parametrize("path", sources(), ids=lambda path: path.stem)
def test_a_notebook_is_well_made(path):
    cells = read_cells(path.read_bytes(), path.name)
    found = exercises_in(cells)
    assert len({exercise.answer for exercise in found.values()}) == len(found), "two exercises ask for the same name"
    code = [text for kind, text in cells if kind == "code"]
    for id, exercise in found.items():
        assert 1 <= len(exercise.hints) <= 3 and len(exercise.explanation) > 80 and len(exercise.statement) > 80, id
        assert 1 <= exercise.points <= 5 and 1 <= exercise.difficulty <= 4 and 3 <= exercise.minutes <= 60, id
        assert f'check("{id}", {exercise.answer})' in code, id
        assert exercise.title and id in SOLUTIONS and re.search(rf"\b{exercise.answer}\b", exercise.stub), id


@pytest.mark.parametrize("path", sources(), ids=lambda path: path.stem)
def test_the_learners_edition_holds_no_answer(path):
    cells = read_cells(path.read_bytes(), path.name)
    kept = "\n".join(text for _, text in edition(cells, "learner"))
    for id in exercises_in(cells):
        body = SOLUTIONS[id].partition(f"#| solution {id}\n")[2].strip()
        assert body and body not in kept and "solution " + id not in kept, id
    assert "@mistake" not in kept and "<!--" not in kept and "(Key" not in kept
    assert read_cells(notebook(edition(cells, "solutions")).encode())
    json.loads(notebook(edition(cells, "instructor")))


def functions(code):
    """The bodies of a cell's functions, in a form that does not depend on blanks and comments."""
    return {ast.dump(ast.Module(node.body, [])) for node in ast.walk(ast.parse(code)) if isinstance(node, ast.FunctionDef)}


def test_a_built_wheel_holds_no_solution(tmp_path):
    command = [sys.executable, "-m", "build", "--wheel", "--outdir", tmp_path, HERE.parent]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr[-2000:]
    with zipfile.ZipFile(next(tmp_path.glob("*.whl"))) as wheel:
        books = {name: read_cells(wheel.read(name)) for name in wheel.namelist() if name.endswith(".ipynb")}
        assert sum("_exercises/" in name for name in books) == len(sources())
        assert json.loads(wheel.read("ftcourse/_exercises/catalogue.json")).keys() == catalogue().keys()
        text = "".join(wheel.read(name).decode() for name in wheel.namelist() if "_exercises/" in name)
    assert "| solution" not in text.replace("#| solution sums.1", "") and "@mistake" not in text
    solved = {id: functions(code.partition(f"#| solution {id}\n")[2]) for id, code in SOLUTIONS.items()}
    for name, cells in books.items():
        for kind, code in cells:
            if kind != "code" or not (found := parsed(code)): continue
            given_away = [id for id, bodies in solved.items() if bodies & found]
            assert not given_away, f"{name} solves {given_away}: {code[:80]}"


def parsed(code):
    try: return functions(code)
    except SyntaxError: return set()
