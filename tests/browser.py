"""JupyterLab as its reader has it: a server, a page of Chromium, and the few things that a reader does.

The fixture `lab` of conftest.py is a `Lab` with a fresh page. A test of a widget looks like this:

    @pytest.mark.browser
    def test_a_slider_says_what_learns(lab):
        lab.write("slider.ipynb", "from ftcourse.widgets import FreezeExplorer", "FreezeExplorer(model)")
        lab.open("slider.ipynb")
        lab.run_all()
        assert not lab.errors()
        lab.drag(lab.slider("Frozen stages"), 3)
        expect(lab.outputs).to_contain_text("3 stages are frozen")     # playwright.sync_api.expect: waits for it
        lab.page.get_by_role("button", name="Reset").click()           # what has a name is found by it
        for theme in THEMES:
            lab.theme(theme)
            assert axe_violations(lab.page) == []

At the end the fixture closes the kernels and fails if the page reported an error that `ALLOWED` does not name.
"""

import contextlib
import importlib.util
import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path
from urllib.parse import quote, urlsplit

ROOT = Path(__file__).parents[1]
LESSONS = sorted((ROOT / "nbs").glob("[0-9]*.ipynb"))
OUTPUTS = ".jp-Notebook .jp-OutputArea-output"
THEMES = ["JupyterLab Dark", "JupyterLab Light"]
ALLOWED = []
SETTINGS = {"windowingMode": "none", "scrollPastEnd": False}        # every cell is in the page, and below them nothing
_STATE = """() => {
    const texts = selector => [...document.querySelectorAll('.jp-Notebook ' + selector)].map(e => e.textContent)
    const [prompts, kernel] = [texts('.jp-CodeCell .jp-InputPrompt'), document.querySelector('.jp-Toolbar-kernelName')]
    const known = kernel && kernel.textContent !== 'No Kernel'      // which is called idle, too
    return {status: known && document.querySelector('.jp-Notebook-ExecutionIndicator')?.dataset.status,
            waiting: prompts.filter(text => text.includes('*')).length,
            loading: texts('.jp-OutputArea-output').filter(text => text.startsWith('Loading widget')).length,
            last: Math.max(0, ...prompts.map(text => parseInt(text.slice(1)) || 0))}
}"""
_CONTRAST_AND_NAMES = {"runOnly": ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa"], "resultTypes": ["violations"]}


def chromium() -> str | None:
    """The system's Chromium, or a browser like it; None where there is none, or nothing to drive it."""
    if not all(map(importlib.util.find_spec, ["playwright", "axe_playwright_python"])): return None
    names = ["chromium", "chromium-browser", "google-chrome", "google-chrome-stable"]
    return next(filter(None, map(shutil.which, names)), None)


def free_port() -> int:
    with socket.socket() as held:
        held.bind(("127.0.0.1", 0))
        return held.getsockname()[1]


def environment(folder: Path) -> dict[str, str]:
    """A reader's environment, except that JupyterLab keeps everything of its own in `folder`, and SETTINGS hold."""
    file = folder / "settings" / "@jupyterlab" / "notebook-extension" / "tracker.jupyterlab-settings"
    file.parent.mkdir(parents=True)
    file.write_text(json.dumps(SETTINGS))
    (folder / "tmp").mkdir()
    own = {"JUPYTERLAB_SETTINGS_DIR": "settings", "JUPYTERLAB_WORKSPACES_DIR": "workspaces", "TMPDIR": "tmp",
           "JUPYTER_DATA_DIR": "data", "JUPYTER_RUNTIME_DIR": "runtime"}
    reader = {name: value for name, value in os.environ.items() if name not in ("FTCOURSE_PROGRESS", "MPLBACKEND")}
    return reader | {"FTCOURSE_PROFILE": "quick"} | {name: str(folder / value) for name, value in own.items()}


@contextlib.contextmanager
def serve(folder: Path):
    """`ftcourse lab` on a free port: the address that it prints, and the folder that it serves."""
    served, log = folder / "course", folder / "lab.log"
    command = [sys.executable, "-m", "ftcourse", "lab", served, "--no-browser", "--port", str(free_port())]
    with log.open("w") as out:
        server = subprocess.Popen(command, env=environment(folder), stdout=out, stderr=out, start_new_session=True)
    try: yield printed_address(server, log), served
    finally: end(server)


def printed_address(server: subprocess.Popen, log: Path, seconds: int = 120) -> str:
    """The first address with a token that the server prints."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline and server.poll() is None:
        if found := re.search(r"http://\S+token=\w+", log.read_text()): return found[0]
        time.sleep(0.2)
    raise RuntimeError(f"no address after {seconds} s: {log.read_text()[-2000:]}")


def end(server: subprocess.Popen) -> None:
    """As a person ends it, with its kernels; what is then left of it is killed."""
    with contextlib.suppress(ProcessLookupError): os.killpg(server.pid, signal.SIGTERM)
    with contextlib.suppress(subprocess.TimeoutExpired): server.wait(60)
    with contextlib.suppress(ProcessLookupError): os.killpg(server.pid, signal.SIGKILL)
    server.wait()


def exactly(text: str) -> re.Pattern:
    return re.compile(f"^{re.escape(text)}$")


class Lab:
    """A page of JupyterLab. `complaints` are the errors of the page's console and scripts so far."""

    def __init__(self, page, address: str, folder: Path, pictures: Path):
        parts = urlsplit(address)
        self.page, self.address, self.folder, self.pictures = page, address, folder, pictures
        self.url, self.token = f"{parts.scheme}://{parts.netloc}", parts.query.split("token=")[1]
        self.complaints: list[str] = []
        page.on("console", lambda message: message.type == "error" and self._complain(message.text))
        page.on("pageerror", lambda error: self._complain(str(error)))
        self.outputs = page.locator(OUTPUTS)

    def _complain(self, text: str) -> None:
        if not any(re.search(allowed, text) for allowed in ALLOWED): self.complaints.append(text)

    def write(self, path: str, *cells: str) -> None:
        """A notebook of these cells in the served folder."""
        import nbformat

        made = [nbformat.v4.new_code_cell(cell) for cell in cells]
        spec = {"kernelspec": {"name": "python3", "display_name": "python3", "language": "python"}}
        nbformat.write(nbformat.v4.new_notebook(cells=made, metadata=spec), self.folder / path)

    def open(self, path: str) -> None:
        """The notebook at this path of the served folder, alone in the window, with a kernel that is ready."""
        self.path = path
        self.page.goto(f"{self.url}/lab/tree/{quote(path)}?reset&token={self.token}")
        self._wait("state => state.status === 'idle'", 60)

    def menu(self, *names: str) -> None:
        """Through the menu bar as a person does: menu("Run", "Run All Cells")."""
        for name in names:
            self.page.locator(".lm-MenuBar-itemLabel, .lm-Menu-itemLabel", has_text=exactly(name)).click()

    def run_all(self, seconds: float = 60) -> None:
        """Every cell from the top, and waits until the last one is done or one has failed."""
        self._run("Run All Cells", seconds)

    def run_cell(self, number: int, seconds: float = 60) -> None:
        """One code cell, counted from 0."""
        self.page.locator(".jp-Notebook .jp-CodeCell").nth(number).locator(".jp-InputPrompt").click()
        self._run("Run Selected Cell and Do not Advance", seconds)

    def _run(self, how: str, seconds: float) -> None:
        before = self.page.evaluate(_STATE)["last"]
        self.menu("Run", how)
        self._wait(f"state => state.waiting || state.last !== {before}", 20)
        self.wait_until_done(seconds)

    def wait_until_done(self, seconds: float = 60) -> None:
        """Until no cell waits for the kernel, and every widget has come."""
        self._wait("state => state.status === 'idle' && !state.waiting && !state.loading", seconds)

    def _wait(self, condition: str, seconds: float) -> None:
        from playwright.sync_api import TimeoutError

        try: self.page.wait_for_function(f"() => ({condition})(({_STATE})())", timeout=seconds * 1000, polling=200)
        except TimeoutError:
            found, picture = self.page.evaluate(_STATE), self.screenshot("waited in vain")
            raise AssertionError(f"{condition} did not come true in {seconds} s: {found}, {picture}") from None

    def save(self) -> dict:
        """Saves; the notebook as it now is on disk."""
        with self.page.expect_response(lambda r: r.request.method == "PUT" and "/api/contents/" in r.url) as saved:
            self.menu("File", "Save Notebook")
        assert saved.value.ok, saved.value.status
        return json.loads((self.folder / self.path).read_text())

    def errors(self) -> list[str]:
        """What a reader would call broken: cells that failed or did not run (as saved), widgets that do not show."""
        cells = [cell for cell in self.save()["cells"] if cell["cell_type"] == "code" and cell["source"]]
        found = [f"cell {i} did not run" for i, cell in enumerate(cells) if not cell["execution_count"]]
        for i, cell in enumerate(cells):
            failed = [out for out in cell["outputs"] if out["output_type"] == "error"]
            found += [f"cell {i}: {out['ename']}: {out['evalue']}" for out in failed]
        return found + self.outputs.filter(has_text=re.compile("^Error displaying widget")).all_inner_texts()

    def screenshot(self, name: str, whole: bool = False) -> Path:
        """What the window shows, or the whole notebook: a PNG in $FTCOURSE_SCREENSHOTS, or in the test's own folder."""
        self.pictures.mkdir(parents=True, exist_ok=True)
        with tall(self.page) if whole else contextlib.nullcontext():
            self.page.screenshot(path=self.pictures / f"{name}.png")
        return self.pictures / f"{name}.png"

    def theme(self, name: str) -> None:
        """One of THEMES, through the menu. It stays for the pages that follow."""
        if self.page.locator(f'body[data-jp-theme-name="{name}"]').count(): return
        self.menu("Settings", "Theme", name)
        self.page.wait_for_selector(f'body[data-jp-theme-name="{name}"]', state="attached")
        self.page.wait_for_selector("#jupyterlab-splash", state="detached")

    def slider(self, name: str):
        """The handle of a slider: by its accessible name, or by ipywidgets' label beside it, which names nothing."""
        label = self.page.locator("label", has_text=exactly(name))
        beside = self.page.locator(".widget-slider", has=label).get_by_role("slider")
        return self.page.get_by_role("slider", name=name, exact=True).or_(beside)

    def drag(self, handle, value: float) -> None:
        """Drags a slider to `value`: the browser's own, or ipywidgets' (of a SelectionSlider to an option's place)."""
        handle.scroll_into_view_if_needed()
        native = handle.evaluate("e => e.tagName") == "INPUT"
        ends = ("min", "max") if native else ("aria-valuemin", "aria-valuemax")
        low, high = (float(handle.get_attribute(end)) for end in ends)
        rail = handle if native else handle.locator("xpath=ancestor::*[contains(@class, 'noUi-base')]")
        box, half = rail.bounding_box(), 8 if native else 0             # the thumb's middle stays inside the box
        now = float(handle.input_value() if native else handle.get_attribute("aria-valuenow"))
        x = lambda at: box["x"] + half + (box["width"] - 2 * half) * (at - low) / (high - low)
        y = box["y"] + box["height"] / 2
        self.page.mouse.move(x(now), y)
        self.page.mouse.down()
        self.page.mouse.move(x(value), y, steps=10)
        self.page.mouse.up()

    def reload(self) -> None:
        """The page anew, as after a lost connection. The kernel lives on; of the notebook remains what was saved.

        JupyterLab asks the kernel for its widgets and shows those that a saved output names, so a widget that is to
        come back must be in an output before `save()`. The kernel answers this from a thread of its own
        (ipykernel 7), or from the main thread (ipykernel 6), which has to be free for it: there a cell that is
        still running keeps the widgets away until it ends.
        """
        self.save()
        self.page.reload()
        self._wait("state => ['idle', 'busy'].includes(state.status)", 60)

    def close_kernels(self) -> None:
        """Leaves the page and ends every kernel of the server."""
        self.page.goto("about:blank")
        headers = {"Authorization": f"token {self.token}"}
        for kernel in self.page.request.get(f"{self.url}/api/kernels", headers=headers).json():
            self.page.request.delete(f"{self.url}/api/kernels/{kernel['id']}", headers=headers)


@contextlib.contextmanager
def tall(page):
    """A window so tall that nothing of the notebook is out of sight. Editors grow when they come into sight."""
    size = page.viewport_size
    for _ in range(8):
        hidden = page.evaluate("""() => Math.max(0, ...[...document.querySelectorAll('.jp-WindowedPanel-outer')]
                                                       .map(e => e.scrollHeight - e.clientHeight))""")
        if not hidden: break
        page.set_viewport_size({**size, "height": page.viewport_size["height"] + hidden})
        page.wait_for_timeout(300)
    yield
    page.set_viewport_size(size)


def axe_violations(page, selector: str = OUTPUTS) -> list[str]:
    """What axe-core finds against WCAG 2.1 A and AA (names, labels, contrast 4.5:1) in these elements only.

    It judges the contrast of what can be seen only, so the window is made tall, and the body gets the height which
    JupyterLab denies it. What scrolls inside an output is judged as far as it shows; text in pictures is not.
    """
    from axe_playwright_python.sync_playwright import Axe

    if not page.locator(selector).count(): raise LookupError(f"no element {selector!r} in the page")
    page.add_style_tag(content="html, body { height: 100% }")
    with tall(page):
        found = Axe().run(page, context={"include": [[selector]]}, options=_CONTRAST_AND_NAMES).response["violations"]
    return [f"{rule['id']}: {node['html'][:200]}: {node['failureSummary']}" for rule in found for node in rule["nodes"]]
