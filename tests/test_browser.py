"""What a reader sees in JupyterLab: lessons and exercises run there, and the helpers of the tests do what they say."""

import os
import re
import shutil
import subprocess
import sys

import pytest
from browser import LESSONS, ROOT, THEMES, axe_violations

pytestmark = pytest.mark.browser
expect = pytest.importorskip("playwright.sync_api", reason="no Playwright here: pip install '.[dev]'").expect

PLAIN = """
import ipywidgets as widgets
slider = widgets.IntSlider(description="Frozen", min=0, max=10)
names = widgets.SelectionSlider(description="From", options=["stem", "layer1", "head"])
button = widgets.Button(description="Train")
said = widgets.HTML()
def say(change): said.value = f"{slider.value} frozen, from {names.value}"
slider.observe(say, "value"); names.observe(say, "value")
button.on_click(lambda _: setattr(said, "value", "trained"))
widgets.VBox([slider, names, button, said])
"""
COUNTS = """
import threading, time
import ipywidgets as widgets
shown = widgets.IntText(description="Step")
def count():
    while True: time.sleep(0.1); shown.value += 1
threading.Thread(target=count, daemon=True).start()
shown
"""
HTML = "from IPython.display import HTML\nHTML('''{}''')"


@pytest.mark.parametrize("lesson", LESSONS, ids=lambda p: p.stem)
def test_a_lesson_runs_in_the_browser(lesson, lab, request):
    if lesson.stem in ("12_cage", "12_grading"): request.getfixturevalue("some_cage")
    lab.open(f"lessons/{lesson.name}")
    lab.run_all(seconds=600)
    lab.screenshot(lesson.stem, whole=True)
    assert lab.errors() == []
    assert axe_violations(lab.page, ".jp-OutputArea-output .jupyter-widgets") == []


@pytest.mark.parametrize("files, path, lessons_by_nbdev", [
    (["test_browser.py", "test_lessons.py"], os.environ["PATH"], 0),
    (["test_lessons.py"], os.environ["PATH"], len(LESSONS)),
    (["test_browser.py", "test_lessons.py"], "", len(LESSONS)),
], ids=["both", "lessons alone", "no browser"])
def test_each_lesson_runs_once_and_somewhere(chromium, files, path, lessons_by_nbdev):
    command = [sys.executable, "-m", "pytest", "--collect-only", *(ROOT / "tests" / file for file in files)]
    told = subprocess.run(command, env=os.environ | {"PATH": path}, cwd=ROOT, capture_output=True, text=True).stdout
    exercises = len(list((ROOT / "nbs" / "exercises").glob("[0-9]*.ipynb")))
    assert told.count("::test_lesson_runs[") == lessons_by_nbdev + exercises


def test_the_address_that_is_printed_leads_to_the_lessons(lab):
    shutil.copy(ROOT / "nbs" / "03_freezing.ipynb", lab.folder / "lessons")     # as if not run
    lab.page.goto(f"{lab.address}&reset")                              # and no page of another test
    expect(lab.page.get_by_role("heading", name="Fine-tuning, by measuring it")).to_be_visible(timeout=60_000)
    lab.screenshot("home")
    lab.page.get_by_role("link", name="03 Freezing").first.click()
    expect(lab.page.get_by_role("heading", name="Freezing").first).to_be_visible()
    lab.wait_until_done()                                # a page that is left while its kernel starts complains


def test_a_long_line_of_code_is_wrapped_and_not_cut(lab):
    lab.write("long.ipynb", f"x = {' + '.join(map(str, range(100)))}")
    lab.open("long.ipynb")
    editor = lab.page.locator(".jp-CodeCell .cm-scroller").first
    assert editor.evaluate("e => e.scrollWidth - e.clientWidth") == 0
    lines = editor.locator(".cm-line").first.bounding_box()["height"]
    assert lines > 40


def test_exercises_open_and_begin(lab):
    exercises = sorted((lab.folder / "exercises").glob("*.ipynb"))
    assert len(exercises) >= 7
    for file in exercises:
        lab.open(f"exercises/{file.name}")
        lab.run_cell(0)
        lab.screenshot(f"exercises-{file.stem}")
        assert [error for error in lab.errors() if "did not run" not in error] == []
        assert lab.page.locator(".jp-Notebook .jp-CodeCell .jp-InputPrompt").first.inner_text() == "[1]:"
        lab.close_kernels()


def test_errors_names_what_failed_and_what_did_not_run(lab):
    lab.write("fails.ipynb", "1", "1 / 0", "2")
    lab.open("fails.ipynb")
    assert lab.errors() == ["cell 0 did not run", "cell 1 did not run", "cell 2 did not run"]
    lab.run_all()
    assert lab.errors() == ["cell 2 did not run", "cell 1: ZeroDivisionError: division by zero"]


def test_errors_names_a_widget_that_cannot_be_shown(lab):
    lost = '{"application/vnd.jupyter.widget-view+json": {"model_id": "gone", "version_major": 2, "version_minor": 0}}'
    lab.write("lost.ipynb", f"from IPython.display import display\ndisplay({lost}, raw=True)")
    lab.open("lost.ipynb")
    lab.run_all()
    assert lab.errors() == ["Error displaying widget: model not found"]
    assert "model not found" in lab.complaints[0]
    lab.complaints.clear()


def test_waiting_outlasts_a_cell_that_sleeps(lab):
    lab.write("sleeps.ipynb", "import time\ntime.sleep(3)", "print('awake')")
    lab.open("sleeps.ipynb")
    lab.run_all()
    assert lab.outputs.all_inner_texts() == ["awake\n"]


def test_an_error_of_the_page_is_collected(lab):
    lab.write("empty.ipynb", "1")
    lab.open("empty.ipynb")
    lab.page.evaluate("console.error('a widget broke'); setTimeout(() => { throw Error('and a script') })")
    lab.page.wait_for_timeout(100)
    assert lab.complaints == ["a widget broke", "and a script"]
    lab.complaints.clear()


def test_a_widget_is_moved_pressed_and_read(lab):
    lab.write("plain.ipynb", PLAIN)
    lab.open("plain.ipynb")
    lab.run_all()
    lab.drag(lab.slider("Frozen"), 7)
    expect(lab.outputs).to_contain_text("7 frozen, from stem")
    lab.drag(lab.slider("From"), 2)
    expect(lab.outputs).to_contain_text("7 frozen, from head")
    lab.page.get_by_role("button", name="Train").click()
    expect(lab.outputs).to_contain_text("trained")
    with pytest.raises(AssertionError): expect(lab.outputs).to_contain_text("8 frozen", timeout=500)
    assert lab.errors() == []


def test_axe_sees_names_and_contrast_in_both_themes(lab):
    bad = '<button></button><div style="height: 2000px"></div><p style="color: #888; background: #999">grey</p><input>'
    lab.write("bad.ipynb", HTML.format(bad), HTML.format("<p>plain</p><button>named</button>"))
    lab.open("bad.ipynb")
    lab.run_all()
    for theme in THEMES:
        lab.theme(theme)
        lab.screenshot(f"axe {theme}")
        rules = {violation.split(":")[0] for violation in axe_violations(lab.page)}
        assert rules == {"button-name", "color-contrast", "label"}
        assert axe_violations(lab.page, ".jp-CodeCell:last-child .jp-OutputArea-output") == []
    with pytest.raises(LookupError, match="no element"): axe_violations(lab.page, ".nowhere")


def test_what_is_right_in_one_theme_only_is_found_in_the_other(lab):
    lab.write("dark.ipynb", HTML.format('<p style="color: black">black</p>'))
    lab.open("dark.ipynb")
    lab.run_all()
    found = {}
    for theme in THEMES:
        lab.theme(theme)
        found[theme] = [violation.split(":")[0] for violation in axe_violations(lab.page)]
    assert found == {"JupyterLab Dark": ["color-contrast"], "JupyterLab Light": []}


def test_a_saved_notebook_shows_its_widgets_without_its_kernel(lab):
    bar = "import time\nfrom ftcourse.assets import progress_bar\nwith progress_bar(3, 'rows') as bar:\n"
    explore = "from ftcourse.widgets import Explore\nExplore(lambda axes, n: None, lambda n: f'{n} points', n=(1, 99))"
    lab.write("again.ipynb", bar + "    for _ in range(3): time.sleep(0.5); bar.update(1)", explore)
    lab.open("again.ipynb")
    lab.run_all()
    lab.drag(lab.slider("n"), 80)
    moved = re.compile("^(79|80|81) points$")
    expect(lab.outputs.locator("pre").last).to_have_text(moved)
    lab.save()
    lab.close_kernels()
    lab.open("again.ipynb")
    expect(lab.outputs.locator("pre").last).to_have_text(moved)
    assert lab.errors() == []


def test_a_widget_lives_on_after_the_page_is_reloaded(lab):
    lab.write("counts.ipynb", COUNTS)
    lab.open("counts.ipynb")
    lab.run_all()
    step = lab.page.get_by_role("spinbutton", name="Step")
    before = int(step.input_value())
    lab.reload()
    step.wait_for()
    after = int(step.input_value())
    lab.page.wait_for_function("([field, seen]) => Number(field.value) > seen + 5", arg=[step.element_handle(), after])
    assert after > before
    assert lab.errors() == []
