"""Wrong answers as people write them, each with a part of the sentence that should name the mistake."""

WRONG = {
    "mistakes.1": [
        ("nothing is infinite here", """
def corridor(classes):
    return 0, float("inf")
"""),
        ("nothing is infinite here", """
def corridor(classes):
    return math.log(1 + (classes - 1) / math.e), math.inf
"""),
        ("the lowest is not 0: even for", """
def corridor(classes):
    p = torch.zeros(1, classes)
    p[0, 1] = 1
    return 0.0, F.cross_entropy(p, torch.tensor([0])).item()
"""),
        ("the lowest is not 0, and the highest", """
def corridor(classes):
    return 0.0, math.log(classes)
"""),
        ("The highest is not that of a network which knows nothing", """
def corridor(classes):
    best = F.one_hot(torch.tensor([0]), classes).double()
    even = torch.full((1, classes), 1 / classes)
    y = torch.tensor([0])
    return F.cross_entropy(best, y).item(), F.cross_entropy(even, y).item()
"""),
        ("spread over the wrong classes", """
def corridor(classes):
    y = torch.tensor([0])
    best = F.one_hot(y, classes).double()
    worst = (1 - best) / (classes - 1)
    return F.cross_entropy(best, y).item(), F.cross_entropy(worst, y).item()
"""),
        ("do not add up to 1", """
def corridor(classes):
    y = torch.tensor([0])
    best = F.one_hot(y, classes).double()
    return F.cross_entropy(best, y).item(), F.cross_entropy(1 - best, y).item()
"""),
        ("one term too many", """
def corridor(classes):
    total = math.log(math.e + classes)
    return total - 1, total
"""),
        ("in bits", """
def corridor(classes):
    low = math.log2(1 + (classes - 1) / math.e)
    return low, low + math.log2(math.e)
"""),
        ("this is the lowest alone", """
def corridor(classes):
    return -math.log(math.e / (math.e + classes - 1))
"""),
        ("`_floor` of the library is called", """
from ftcourse.mistakes import _floor
def corridor(classes):
    return _floor(classes), _floor(classes) + 1
"""),
    ],
    "mistakes.2": [
        ("exchanged channels are called right", """
def treatment(raw, fed, mean, std):
    mean, std = torch.tensor(mean).view(3, 1, 1), torch.tensor(std).view(3, 1, 1)
    x = raw / 255
    ways = {"right": (x - mean) / std, "not normalised": x, "not divided": (raw - mean) / std,
            "normalised twice": ((x - mean) / std - mean) / std}
    for text, value in ways.items():
        if torch.allclose(value.mean(), fed.mean(), atol=0.1) and torch.allclose(value.std(), fed.std(), atol=0.05):
            return text
    return "right"
"""),
        ("everything above zero is called not normalised", """
def treatment(raw, fed, mean, std):
    if fed.max() > 50: return "not divided"
    if fed.min() >= 0: return "not normalised"
    m, s = torch.tensor(mean).view(3, 1, 1), torch.tensor(std).view(3, 1, 1)
    x = raw / 255
    if torch.allclose((x - m) / s, fed, atol=1e-3): return "right"
    if torch.allclose((x.flip(1) - m) / s, fed, atol=1e-3): return "blue first"
    return "normalised twice"
"""),
        ("what has a small spread is called not normalised", """
def treatment(raw, fed, mean, std):
    m, s = torch.tensor(mean).view(3, 1, 1), torch.tensor(std).view(3, 1, 1)
    x = raw / 255
    right, blue = (x - m) / s, (x.flip(1) - m) / s
    if torch.allclose((right - m) / s, fed, atol=1e-3): return "normalised twice"
    if torch.allclose(blue, fed, atol=1e-3): return "blue first"
    if fed.max() > 50: return "not divided"
    return "right" if fed.std() > 0.5 else "not normalised"
"""),
        ("what was normalised twice is called right", """
def treatment(raw, fed, mean, std):
    m, s = torch.tensor(mean).view(3, 1, 1), torch.tensor(std).view(3, 1, 1)
    x = raw / 255
    if torch.allclose(x, fed, atol=1e-3): return "not normalised"
    if torch.allclose((raw - m) / s, fed, atol=1e-3): return "not divided"
    if torch.allclose((x.flip(1) - m) / s, fed, atol=1e-3): return "blue first"
    return "right"
"""),
        ("what was not divided by 255 is called normalised twice", """
def treatment(raw, fed, mean, std):
    m, s = torch.tensor(mean).view(3, 1, 1), torch.tensor(std).view(3, 1, 1)
    x = raw / 255
    if torch.allclose(x, fed, atol=1e-3): return "not normalised"
    if torch.allclose((x.flip(1) - m) / s, fed, atol=1e-3): return "blue first"
    if torch.allclose((x - m) / s, fed, atol=1e-3): return "right"
    return "normalised twice"
"""),
        ("everything is called right", """
def treatment(raw, fed, mean, std):
    return "right"
"""),
        ("a batch that is", """
def treatment(raw, fed, mean, std):
    m, s = torch.tensor(mean).view(3, 1, 1), torch.tensor(std).view(3, 1, 1)
    x = raw / 255
    right = (x - m) / s
    could_be = {"right": right, "not normalised": x, "not divided": (raw - m) / s, "normalised twice": (right - m) / s}
    for text, value in could_be.items():
        if torch.equal(value, fed): return text
    return "blue first"
"""),
        ("is none of the five texts", """
def treatment(raw, fed, mean, std):
    m, s = torch.tensor(mean).view(3, 1, 1), torch.tensor(std).view(3, 1, 1)
    return "ok" if torch.allclose((raw / 255 - m) / s, fed, atol=1e-3) else "wrong"
"""),
    ],
    "mistakes.3": [
        ("no fingerprint", """
def leak(train, test, right):
    a, b = train.float().mean((1, 2, 3)), test.float().mean((1, 2, 3))
    same = (a[:, None] - b[None]).abs() < 1e-6
    seen = same.any(0)
    gap = right.float().mean() - right[~seen].float().mean()
    return {"seen": seen, "deception": gap, "keep": (~same.any(1)).nonzero().flatten().tolist()}
"""),
        ("is taken out once", """
def leak(train, test, right):
    rows = [x.numpy().tobytes() for x in train]
    seen = torch.tensor([x.numpy().tobytes() in rows for x in test])
    drop = {rows.index(x.numpy().tobytes()) for x in test if x.numpy().tobytes() in rows}
    gap = right.float().mean() - right[~seen].float().mean()
    return {"seen": seen, "deception": gap, "keep": [i for i in range(len(train)) if i not in drop]}
"""),
        ("is found there once", """
def leak(train, test, right):
    where = {x.numpy().tobytes(): i for i, x in enumerate(test)}
    seen, keep = torch.zeros(len(test), dtype=torch.bool), []
    for row, x in enumerate(train):
        i = where.get(x.numpy().tobytes())
        if i is None: keep.append(row)
        else: seen[i] = True
    return {"seen": seen, "deception": right.float().mean() - right[~seen].float().mean(), "keep": keep}
"""),
        ("copies within `train`", """
def leak(train, test, right):
    key = lambda x: x.numpy().tobytes()
    known, judged, keep = {key(x) for x in train}, {key(x) for x in test}, []
    for row, x in enumerate(train):
        if key(x) not in judged:
            keep.append(row)
            judged.add(key(x))
    seen = torch.tensor([key(x) in known for x in test])
    return {"seen": seen, "deception": right.float().mean() - right[~seen].float().mean(), "keep": keep}
"""),
        ("has rows of `test`", """
def leak(train, test, right):
    key = lambda x: x.numpy().tobytes()
    known = {key(x) for x in train}
    seen = torch.tensor([key(x) in known for x in test])
    keep = [i for i, x in enumerate(test) if key(x) not in known]
    return {"seen": seen, "deception": right.float().mean() - right[~seen].float().mean(), "keep": keep}
"""),
        ("the rows that have to go", """
def leak(train, test, right):
    same = (train[:, None] == test[None]).flatten(2).all(2)
    seen = same.any(0)
    gap = right.float().mean() - right[~seen].float().mean()
    return {"seen": seen, "deception": gap, "keep": same.any(1).nonzero().flatten().tolist()}
"""),
        ("measured against the images that were seen", """
def leak(train, test, right):
    same = (train[:, None] == test[None]).flatten(2).all(2)
    seen = same.any(0)
    gap = right[seen].float().mean() - right[~seen].float().mean()
    return {"seen": seen, "deception": gap, "keep": (~same.any(1)).nonzero().flatten().tolist()}
"""),
        ("the sign of the deception", """
def leak(train, test, right):
    same = (train[:, None] == test[None]).flatten(2).all(2)
    seen = same.any(0)
    gap = right[~seen].float().mean() - right.float().mean()
    return {"seen": seen, "deception": gap, "keep": (~same.any(1)).nonzero().flatten().tolist()}
"""),
        ("divided by the whole test split", """
def leak(train, test, right):
    same = (train[:, None] == test[None]).flatten(2).all(2)
    seen = same.any(0)
    gap = (right.sum() - (right & ~seen).sum()) / len(test)
    return {"seen": seen, "deception": gap, "keep": (~same.any(1)).nonzero().flatten().tolist()}
"""),
        ("the accuracy on the images not seen", """
def leak(train, test, right):
    same = (train[:, None] == test[None]).flatten(2).all(2)
    seen = same.any(0)
    return {"seen": seen, "deception": right[~seen].float().mean(), "keep": (~same.any(1)).nonzero().flatten().tolist()}
"""),
    ],
    "mistakes.4": [
        ("both are still there", """
def step(model, optimizer, scaler, loss, limit):
    optimizer.zero_grad()
    scaler.scale(loss).backward()
    nn.utils.clip_grad_norm_(model.parameters(), limit)
    scaler.unscale_(optimizer)
    optimizer.step()
    scaler.update()
    optimizer.zero_grad()
"""),
        ("`optimizer.step()` takes a gradient that is infinite", """
def step(model, optimizer, scaler, loss, limit):
    scaler.scale(loss).backward()
    scaler.unscale_(optimizer)
    nn.utils.clip_grad_norm_(model.parameters(), limit)
    optimizer.step()
    scaler.update()
    optimizer.zero_grad()
"""),
        ("First `unscale_`, then clip", """
def step(model, optimizer, scaler, loss, limit):
    scaler.scale(loss).backward()
    nn.utils.clip_grad_norm_(model.parameters(), limit)
    scaler.step(optimizer)
    scaler.update()
    optimizer.zero_grad()
"""),
        ("is not clipped at all", """
def step(model, optimizer, scaler, loss, limit):
    scaler.scale(loss).backward()
    scaler.step(optimizer)
    nn.utils.clip_grad_norm_(model.parameters(), limit)
    scaler.update()
    optimizer.zero_grad()
"""),
        ("every *number* of the gradient", """
def step(model, optimizer, scaler, loss, limit):
    scaler.scale(loss).backward()
    scaler.unscale_(optimizer)
    for p in model.parameters(): p.grad.clamp_(-limit, limit)
    scaler.step(optimizer)
    scaler.update()
    optimizer.zero_grad()
"""),
        ("every tensor is clipped by itself", """
def step(model, optimizer, scaler, loss, limit):
    scaler.scale(loss).backward()
    scaler.unscale_(optimizer)
    for p in model.parameters(): nn.utils.clip_grad_norm_([p], limit)
    scaler.step(optimizer)
    scaler.update()
    optimizer.zero_grad()
"""),
        ("`scaler.update()` is missing", """
def step(model, optimizer, scaler, loss, limit):
    scaler.scale(loss).backward()
    scaler.unscale_(optimizer)
    nn.utils.clip_grad_norm_(model.parameters(), limit)
    scaler.step(optimizer)
    optimizer.zero_grad()
"""),
        ("`zero_grad()` is gone", """
def step(model, optimizer, scaler, loss, limit):
    scaler.scale(loss).backward()
    scaler.unscale_(optimizer)
    nn.utils.clip_grad_norm_(model.parameters(), limit)
    scaler.step(optimizer)
    scaler.update()
"""),
        ("gradients are left over after the last step", """
def step(model, optimizer, scaler, loss, limit):
    optimizer.zero_grad()
    scaler.scale(loss).backward()
    scaler.unscale_(optimizer)
    nn.utils.clip_grad_norm_(model.parameters(), limit)
    scaler.step(optimizer)
    scaler.update()
"""),
        ("the loss is not scaled", """
def step(model, optimizer, scaler, loss, limit):
    loss.backward()
    scaler.unscale_(optimizer)
    nn.utils.clip_grad_norm_(model.parameters(), limit)
    scaler.step(optimizer)
    scaler.update()
    optimizer.zero_grad()
"""),
        ("the scaler does nothing here", """
def step(model, optimizer, scaler, loss, limit):
    optimizer.zero_grad()
    loss.backward()
    nn.utils.clip_grad_norm_(model.parameters(), limit)
    optimizer.step()
    optimizer.zero_grad()
"""),
        ("in the very first step", """
def step(model, optimizer, scaler, loss, limit):
    scaler.scale(loss).backward()
    scaler.step(optimizer)
    scaler.unscale_(optimizer)
    nn.utils.clip_grad_norm_(model.parameters(), limit)
    scaler.update()
    optimizer.zero_grad()
"""),
    ],
    "mistakes.5": [
        ("the means are over all runs", """
def cost(runs, name):
    fine = [r for r in runs if r["mistake"] == "none"]
    bad = [r for r in runs if r["mistake"] == name]
    mean = lambda rows, key: 100 * np.mean([r[key] for r in rows])
    return {"price": mean(fine, "true") - mean(bad, "true"), "deception": mean(bad, "reported") - mean(bad, "true"),
            "noticed": mean(fine, "reported") - mean(bad, "reported")}
"""),
        ("the deception is over all seeds", """
def cost(runs, name):
    fine = {r["seed"]: r for r in runs if r["mistake"] == "none"}
    bad = {r["seed"]: r for r in runs if r["mistake"] == name}
    both = fine.keys() & bad.keys()
    return {"price": 100 * np.mean([fine[s]["true"] - bad[s]["true"] for s in both]),
            "deception": 100 * np.mean([r["reported"] - r["true"] for r in bad.values()]),
            "noticed": 100 * np.mean([fine[s]["reported"] - bad[s]["reported"] for s in both])}
"""),
        ("the price is taken from what is reported", """
def cost(runs, name):
    fine = {r["seed"]: r for r in runs if r["mistake"] == "none"}
    bad = {r["seed"]: r for r in runs if r["mistake"] == name}
    both = fine.keys() & bad.keys()
    gap = 100 * np.mean([fine[s]["reported"] - bad[s]["reported"] for s in both])
    return {"price": gap, "deception": 100 * np.mean([bad[s]["reported"] - bad[s]["true"] for s in both]), "noticed": gap}
"""),
        ("the sign of the price", """
def cost(runs, name):
    fine = {r["seed"]: r for r in runs if r["mistake"] == "none"}
    bad = {r["seed"]: r for r in runs if r["mistake"] == name}
    both = fine.keys() & bad.keys()
    return {"price": 100 * np.mean([bad[s]["true"] - fine[s]["true"] for s in both]),
            "deception": 100 * np.mean([bad[s]["reported"] - bad[s]["true"] for s in both]),
            "noticed": 100 * np.mean([fine[s]["reported"] - bad[s]["reported"] for s in both])}
"""),
        ("lost its signs", """
def cost(runs, name):
    fine = {r["seed"]: r for r in runs if r["mistake"] == "none"}
    bad = {r["seed"]: r for r in runs if r["mistake"] == name}
    both = fine.keys() & bad.keys()
    return {"price": 100 * np.mean([fine[s]["true"] - bad[s]["true"] for s in both]),
            "deception": 100 * np.mean([abs(bad[s]["reported"] - bad[s]["true"]) for s in both]),
            "noticed": 100 * np.mean([fine[s]["reported"] - bad[s]["reported"] for s in both])}
"""),
        ("true of the *right* program", """
def cost(runs, name):
    fine = {r["seed"]: r for r in runs if r["mistake"] == "none"}
    bad = {r["seed"]: r for r in runs if r["mistake"] == name}
    both = fine.keys() & bad.keys()
    return {"price": 100 * np.mean([fine[s]["true"] - bad[s]["true"] for s in both]),
            "deception": 100 * np.mean([bad[s]["reported"] - fine[s]["true"] for s in both]),
            "noticed": 100 * np.mean([fine[s]["reported"] - bad[s]["reported"] for s in both])}
"""),
        ("the deception of the right program", """
def cost(runs, name):
    fine = {r["seed"]: r for r in runs if r["mistake"] == "none"}
    bad = {r["seed"]: r for r in runs if r["mistake"] == name}
    both = fine.keys() & bad.keys()
    return {"price": 100 * np.mean([fine[s]["true"] - bad[s]["true"] for s in both]),
            "deception": 100 * np.mean([fine[s]["reported"] - fine[s]["true"] for s in both]),
            "noticed": 100 * np.mean([fine[s]["reported"] - bad[s]["reported"] for s in both])}
"""),
        ("points are asked for", """
def cost(runs, name):
    fine = {r["seed"]: r for r in runs if r["mistake"] == "none"}
    bad = {r["seed"]: r for r in runs if r["mistake"] == name}
    both = fine.keys() & bad.keys()
    return {"price": np.mean([fine[s]["true"] - bad[s]["true"] for s in both]),
            "deception": np.mean([bad[s]["reported"] - bad[s]["true"] for s in both]),
            "noticed": np.mean([fine[s]["reported"] - bad[s]["reported"] for s in both])}
"""),
    ],
}
