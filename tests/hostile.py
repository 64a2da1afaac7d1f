"""Notebooks that want marks without answers, or harm: name -> code cells. Each is handed in for the exercises on freezing.

HELD is a place outside of the cage that some of them try to reach; the tests put a folder there and look at it afterwards.
"""

HELD = "/var/tmp/ftcourse-held"

STUBS = """
def hold(model, names): return answer(model, names)
def rates(model, lr, decay): return answer(model, lr, decay)
def groups(model, weight_decay): return answer(model, weight_decay)
def release(model, optimizer, name, lr): return answer(model, optimizer, name, lr)
def moved(before, after): return answer(before, after)
def learning(classes, until): return answer(classes, until)
def penalty(model, start, strength): return answer(model, start, strength)
"""

NOTEBOOKS = {
    "equal to everything": """
class Yes:
    def __eq__(self, other): return True
    def __ne__(self, other): return False
    def __hash__(self): return 0
    def __float__(self): return 0.0
def answer(*args): return Yes()
""",
    "patched torch": """
import torch
torch.equal = torch.allclose = torch.isclose = lambda *a, **k: True
torch.Tensor.__eq__ = torch.Tensor.eq = lambda a, b: True
torch.Tensor.all = torch.Tensor.any = lambda *a, **k: True
def answer(*args): return torch.zeros(1)
""",
    "patched json and struct": """
import json, struct
json.dumps = lambda *a, **k: '{"value": true, "right": true}'
json.loads = lambda *a, **k: {"right": True}
struct.pack = lambda *a: b"\\xff" * 8
def answer(*args): return True
""",
    "patched judge": """
import ftcourse.exercises as e
e.judge = lambda key, *a: e.Verdict(key.id, True, "right")
e.difference = lambda *a, **k: None
e.ask = lambda *a, **k: {"value": None, "changed": [], "right": True, "reached": 99}
e._complaint = lambda *a: None
def answer(*args): return None
""",
    "patched protocol": """
import ftcourse.cage as c
c._send = lambda out, reply: __import__("os").write(out, b"\\x00" * 64)
c._answer = lambda question, space: {"rounds": [{"value": True, "changed": []}] * 3}
def answer(*args): return True
""",
    "frame walking": """
import sys, gc
def answer(*args):
    frame, found = sys._getframe(), []
    while frame:
        for value in list(frame.f_locals.values()) + list(frame.f_globals.values()):
            if isinstance(value, dict):
                for key in ("expected", "wanted", "answer", "solution", "right"):
                    if key in value and not callable(value[key]): found.append(value[key])
        frame = frame.f_back
    found += [o["expected"] for o in gc.get_objects() if isinstance(o, dict) and "expected" in o]
    return found[0] if found else None
""",
    "key from the package": """
def answer(*args):
    from ftcourse.exercises import find_key
    import sys
    name = sys._getframe(1).f_code.co_name
    numbers = dict(hold=1, rates=2, groups=3, release=4, moved=5, learning=6, penalty=7)
    return find_key(f"freezing.{numbers[name]}").answer(*args)
""",
    "key from the disk": """
import glob, os, sys
def answer(*args):
    text = ""
    for folder in sys.path + ["/", "/work", "/root", "/home", "/usr/lib"]:
        for pattern in ("ftcourse/keys/*.py", "nbs/exercises/*.ipynb", "ftcourse/_exercises/*", "*/nbs/exercises/*.ipynb"):
            for path in glob.glob(os.path.join(folder, pattern)): text += open(path).read()
    space = {}
    exec(text[text.index("class "):], space)
    return None
""",
    "library's own answer": """
from ftcourse.freezing import freeze, param_groups, unfreeze
def hold(model, names): return freeze(model, names[-1])
def rates(model, lr, decay): return param_groups(model, lr, layer_decay=decay)
def groups(model, weight_decay): return param_groups(model, 0.1, weight_decay=weight_decay)
def release(model, optimizer, name, lr): unfreeze(model, name)
def answer(*args): return freeze(*args)
""",
    "library's code kept for later": """
import types, inspect
import ftcourse.freezing as f
kept = {}
for name in dir(f):
    function = getattr(f, name)
    if isinstance(function, types.FunctionType):
        kept[name] = types.FunctionType(function.__code__, dict(f.__dict__), name, function.__defaults__, function.__closure__)
def rates(model, lr, decay): return kept["param_groups"](model, lr, layer_decay=decay)
def groups(model, weight_decay): return kept["param_groups"](model, 0.1, weight_decay=weight_decay)
def hold(model, names): return kept["freeze"](model, names[-1])
def answer(*args): return kept["freeze"](*args)
""",
    "library's source read again": """
import ftcourse.freezing as f, importlib.util, inspect
space = {}
def answer(*args):
    exec(open(f.__file__).read().replace("from .", "from ftcourse."), space)
    return space["param_groups"](*args[:2])
def fresh():
    spec = importlib.util.spec_from_file_location("ftcourse.again", f.__file__)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module
def rates(model, lr, decay): return fresh().param_groups(model, lr, layer_decay=decay)
def hold(model, names): return fresh().freeze(model, names[-1])
""",
    "forged replies": """
import os, struct, json
for number in range(3, 64):
    for id in ["freezing.%d" % i for i in range(1, 8)]:
        text = json.dumps({"id": id, "rounds": [{"value": True, "changed": []}] * 3, "reached": 3, "right": True}).encode()
        block = struct.pack("<II", len(text), 0) + text
        try: os.write(number, struct.pack("<I", len(block)) + block)
        except OSError: pass
def answer(*args): return True
""",
    "forged end of the protocol": """
import os, struct
for number in range(0, 64):
    try: os.write(number, struct.pack("<Q", 3) + b"{}\\n" + b"\\xff" * 100)
    except OSError: pass
def answer(*args): return None
""",
    "remembered answers": """
known = {("lr", 0.05): 1}
def rates(model, lr, decay): return [{"params": model.parameters(), "lr": 0.05}]
def moved(before, after): return ["stage0.weight", "stage1.bias", "stage2.running_mean", "stage3.num_batches_tracked"]
def learning(classes, until): return {10: 8398858}.get(classes, 5130)
def penalty(model, start, strength): return __import__("torch").tensor(0.1234, requires_grad=True)
def answer(*args): return None
""",
    "infinite loop": """
def answer(*args):
    while True: pass
while True: pass
""",
    "loop that catches everything": """
import signal
signal.signal(signal.SIGALRM, signal.SIG_IGN)
signal.signal(signal.SIGTERM, signal.SIG_IGN)
while True:
    try:
        while True: pass
    except BaseException: pass
def answer(*args): return None
""",
    "fork bomb": """
import os
def answer(*args):
    while True: os.fork()
while True:
    try: os.fork()
    except OSError: pass
""",
    "thread bomb": """
import threading, time
def answer(*args): return None
for _ in range(100000): threading.Thread(target=time.sleep, args=(100,)).start()
""",
    "memory bomb": """
import torch
def answer(*args): return torch.ones(1 << 34)
hoard = []
while True: hoard.append(bytearray(1 << 26))
""",
    "memory bomb in tensors": """
import torch
hoard = []
def answer(*args):
    while True: hoard.append(torch.ones(1 << 22))
""",
    "10 GB of output": """
import sys, os
def answer(*args):
    while True: print("x" * (1 << 20)); sys.stderr.write("y" * (1 << 20))
for _ in range(10000): os.write(1, b"z" * (1 << 20))
""",
    "10 GB of reply": """
import torch, os
def answer(*args): return [torch.zeros(1 << 22) for _ in range(1000)]
for number in range(3, 64):
    try:
        while True: os.write(number, b"\\x10\\x00\\x00\\x00" + b"q" * (1 << 20))
    except OSError: pass
""",
    "a file of 10 GB": """
import os
def answer(*args):
    with open(os.path.expanduser("~/big"), "wb") as file:
        while True: file.write(b"0" * (1 << 20))
for i in range(1000):
    with open(os.path.expanduser(f"~/big{i}"), "wb") as file: file.write(b"0" * (1 << 24))
""",
    "writing outside": f"""
import os
def attempt():
    for path in ["{HELD}/mine", "/tmp/mine", "/usr/mine", "/etc/mine", "/var/tmp/mine", "/root/mine", "/mine", "marks/marks.csv"]:
        try:
            os.makedirs(os.path.dirname(path) or ".", exist_ok=True)
            with open(path, "w") as file: file.write("mine")
        except OSError: pass
    import ftcourse, torch
    for module in (ftcourse, torch):
        try: open(module.__file__, "a").write("# mine")
        except OSError: pass
attempt()
def answer(*args): attempt()
""",
    "reading the grader": f"""
import os, glob
def answer(*args):
    for path in ["/proc/self/environ", "/proc/1/environ", "/proc/1/mem", "/etc/shadow", "/root/.ssh", "{HELD}/secret", *glob.glob("/proc/*/environ")]:
        try: return open(path, "rb").read(100).decode("latin1")
        except OSError: pass
    return dict(os.environ).get("FTCOURSE_SECRET")
""",
    "network": """
import socket, urllib.request
def answer(*args):
    socket.setdefaulttimeout(2)
    for address in [("127.0.0.1", 8765), ("1.1.1.1", 53), ("localhost", 80)]:
        try: socket.create_connection(address, 1).send(b"hello")
        except OSError: pass
    return urllib.request.urlopen("http://127.0.0.1:8765/").read().decode()
try: answer()
except Exception: pass
""",
    "os._exit": """
import os
os._exit(0)
def answer(*args): return None
""",
    "os._exit in the answer": """
import os
def answer(*args): os._exit(0)
""",
    "signals to everybody": """
import os, signal
def attempt():
    for number in [1, 2, 3, os.getppid(), -1, *range(4, 400)]:
        for kind in (signal.SIGTERM, signal.SIGKILL, signal.SIGSTOP):
            if number != os.getpid():
                try: os.kill(number, kind)
                except OSError: pass
attempt()
def answer(*args): attempt()
""",
    "a crash": """
import ctypes
def answer(*args): ctypes.string_at(0)
ctypes.memset(0, 1, 1)
""",
    "deep recursion": """
import sys
sys.setrecursionlimit(10 ** 9)
def answer(*args): return answer(*args)
answer()
""",
    "deep, huge and odd data": """
import torch
def deep(n):
    x = []
    for _ in range(n): x = [x]
    return x
def hold(model, names): return deep(100000)
def rates(model, lr, decay): return [{"params": [], "lr": float("nan")}]
def groups(model, weight_decay): return {"a" * (1 << 24): 1}
def release(model, optimizer, name, lr): return float("nan")
def moved(before, after): return [10 ** 5000, float("inf"), "\\ud800"]
def learning(classes, until): return torch.tensor(float("nan"))
def penalty(model, start, strength): return torch.full((1,), float("nan"), dtype=torch.float16)
""",
    "malicious safetensors and JSON": """
import os, struct
def frames(): 
    head = b'{"t0": {"dtype": "F32", "shape": [4000000000000], "data_offsets": [0, 16000000000000]}}'
    yield b'{"id": "freezing.1", "rounds": {"$tensor": "t0"}}', struct.pack("<Q", len(head)) + head
    yield b'{"id": "freezing.2", "rounds": ' + b"[" * 200000 + b"}", b""
    yield b'{"id": "freezing.3", "rounds": [{"value": NaN}, {"value": Infinity}, {"value": ' + b"9" * 100000 + b"}]}", b""
    yield b'{"id": ["freezing.4"], "rounds": 7}', struct.pack("<Q", 1 << 62) + b"x"
    yield b'{"id": "freezing.5", "rounds": [{"value": {"__class__": "os.system", "__reduce__": ["id"]}, "changed": 3}, 4, null]}', b""
    yield b'{"id": "freezing.6", "rounds": [{"error": {"a": 1}, "line": []}, {"library": 3}, {}]}', b""
    yield b"\\xff\\xfe", b"\\x93NUMPY\\x01\\x00" + b"cos\\nsystem\\n(S'id'\\ntR."
for number in range(3, 64):
    for text, block in frames():
        whole = struct.pack("<II", len(text), len(block)) + text + block
        try: os.write(number, struct.pack("<I", len(whole)) + whole)
        except OSError: pass
def answer(*args): return None
os._exit(0)
""",
    "new namespaces and privileges": """
import ctypes, os
libc = ctypes.CDLL(None, use_errno=True)
def attempt():
    for flags in (0x10000000, 0x20000, 0x40000000, 0x10020000):
        if libc.unshare(flags) == 0: return "out"
    libc.mount(b"none", b"/home", b"tmpfs", 0, None)
    libc.ptrace(16, os.getppid(), 0, 0)
    for call in (lambda: os.setuid(0), lambda: os.setgid(0), lambda: os.chroot("/"), lambda: os.setgroups([0])):
        try: call()
        except OSError: pass
    return "in"
state = attempt()
def answer(*args): return {"state": state, "modes": []}
""",
    "html in names and errors": """
def answer(*args): raise ValueError("<script>alert(1)</script><img src=x onerror=alert(2)>")
raise RuntimeError("</pre><script>alert(3)</script>")
""",
}
