"""Wrong answers as people write them, each with a part of the sentence that should name the mistake."""

WRONG = {
    "data.1": [
        ("the first source that answers is taken", """
def take(sources, sha256):
    if len(sha256) < 8: raise ValueError("too short")
    missing = []
    for name, get in sources:
        try:
            return get(), missing
        except OSError:
            missing.append(name)
    raise ValueError("nobody answers")
"""),
        ("a hash in capitals never agrees", """
def take(sources, sha256):
    if len(sha256) < 8: raise ValueError("too short")
    refused = []
    for name, get in sources:
        try: data = get()
        except OSError:
            refused.append(name)
            continue
        if hashlib.sha256(data).hexdigest()[:len(sha256)] == sha256: return data, refused
        refused.append(name)
    raise ValueError("none")
"""),
        ("a short hash never agrees", """
def take(sources, sha256):
    if len(sha256) < 8: raise ValueError("too short")
    refused = []
    for name, get in sources:
        try:
            data = get()
            assert hashlib.sha256(data).digest() == bytes.fromhex(sha256)
            return data, refused
        except (OSError, AssertionError, ValueError):
            refused += [name]
    raise ValueError("none")
"""),
        ("only the first 8 digits are compared", """
def take(sources, sha256):
    short = sha256[:8].lower()
    if len(short) != 8: raise ValueError(sha256)
    refused = []
    for name, get in sources:
        try: data = get()
        except OSError: data = b""
        if hashlib.sha256(data).hexdigest()[:8] == short: return data, refused
        refused.append(name)
    raise ValueError("none")
"""),
        ("every text starts with the empty text", """
def take(sources, sha256):
    refused = []
    for name, get in sources:
        try:
            data = get()
            if hashlib.sha256(data).hexdigest().startswith(sha256.lower()): return data, refused
        except OSError: pass
        refused.append(name)
    raise ValueError("none")
"""),
        ("stops everything", """
def take(sources, sha256):
    if len(sha256) < 8: raise ValueError("too short")
    refused = []
    for name, get in sources:
        data = get()
        if hashlib.sha256(data).hexdigest().startswith(sha256.lower()): return data, refused
        refused.append(name)
    raise ValueError("none")
"""),
        ("you return None", """
def take(sources, sha256):
    if len(sha256) < 8: raise ValueError("too short")
    refused = []
    for name, get in sources:
        try: data = get()
        except OSError: refused.append(name)
        else:
            if hashlib.sha256(data).hexdigest().startswith(sha256.lower()): return data, refused
            refused.append(name)
"""),
        ("a source that did not answer is not in `refused`", """
def take(sources, sha256):
    if len(sha256) < 8: raise ValueError("too short")
    refused = []
    for name, get in sources:
        try: data = get()
        except OSError: continue
        if hashlib.sha256(data).hexdigest().startswith(sha256.lower()): return data, refused
        refused.append(name)
    raise ValueError("none")
"""),
        ("written in capitals, and that is not understood", """
def take(sources, sha256):
    refused = []
    for name, get in sources:
        try:
            data = get()
            if hashlib.sha256(data).hexdigest().startswith(sha256): return data, refused
        except OSError: pass
        refused.append(name)
    raise ValueError("none")
"""),
    ],
    "data.2": [
        ("look at whole parts", """
def safe(members):
    names = []
    for m in members:
        name = m["name"]
        if m["link"] is not None: continue
        if name[0] in "/\\\\" or name[1:2] == ":" or ".." in name: continue
        names.append(name)
    return names
"""),
        ("links are let through", """
def safe(members):
    names = [m["name"] for m in members]
    return [n for n in names if n[0] not in "/\\\\" and n[1:2] != ":" and ".." not in re.split(r"[/\\\\]", n)]
"""),
        ("one in the middle climbs as well", """
def safe(members):
    bad = re.compile(r"/|\\\\|\\.\\.[/\\\\]|[a-zA-Z]:")
    return [m["name"] for m in members if m["link"] is None and not bad.match(m["name"])]
"""),
        ("climbs out on Windows", """
def safe(members):
    out = []
    for m in members:
        n = m["name"]
        if m["link"] is not None or n.startswith(("/", "\\\\")) or n[1:2] == ":": continue
        if ".." not in n.split("/"): out.append(n)
    return out
"""),
        ("names a drive", """
def safe(members):
    out = []
    for m in members:
        parts = m["name"].replace("\\\\", "/").split("/")
        if parts[0] and ".." not in parts: out.append(m["name"])
    return out
"""),
        ("has a part that is `..`", """
import posixpath
def safe(members):
    out = []
    for m in members:
        path = posixpath.normpath(posixpath.join("data", m["name"].replace("\\\\", "/")))
        if path.startswith("data/") and m["link"] is None and ":" not in m["name"]: out.append(m["name"])
    return out
"""),
        ("names come back unchanged", """
def safe(members):
    names = [m["name"].replace("\\\\", "/") for m in members if m["link"] is None]
    return [n for n in names if n[0] != "/" and n[1:2] != ":" and ".." not in n.split("/")]
"""),
        ("every name with a backslash is refused", """
def safe(members):
    return [m["name"] for m in members if not (m["link"] or "\\\\" in m["name"] or m["name"][1:2] == ":"
            or m["name"][0] == "/" or ".." in m["name"].split("/"))]
"""),
    ],
    "data.3": [
        ("there is a leak", """
def cut(contents, labels, share, seed):
    dice, train, test = random.Random(seed), [], []
    for c in set(labels):
        rows = [i for i, y in enumerate(labels) if y == c]
        dice.shuffle(rows)
        n = round(len(rows) * share)
        test.extend(rows[:n]); train.extend(rows[n:])
    return train, test
"""),
        ("there is a leak", """
def cut(contents, labels, share, seed):
    rows = torch.randperm(len(labels), generator=torch.Generator().manual_seed(seed)).tolist()
    n = round(len(rows) * share)
    def once(part): return list({contents[i]: i for i in part}.values())
    return once(rows[n:]), once(rows[:n])
"""),
        ("a picture with two labels is still in a part", """
def cut(contents, labels, share, seed):
    kept = {}
    for i, c in enumerate(contents): kept.setdefault((c, labels[i]), i)
    dice, train, test = random.Random(seed), [], []
    for c in set(labels):
        rows = [i for i in kept.values() if labels[i] == c]
        dice.shuffle(rows)
        n = round(len(rows) * share)
        test.extend(rows[:n]); train.extend(rows[n:])
    return train, test
"""),
        ("rows are missing", """
def cut(contents, labels, share, seed):
    dice, train, test = random.Random(seed), [], []
    for c in set(labels):
        rows = [i for i, y in enumerate(labels) if y == c and contents.count(contents[i]) == 1]
        dice.shuffle(rows)
        n = round(len(rows) * share)
        test.extend(rows[:n]); train.extend(rows[n:])
    return train, test
"""),
        ("not every label gives the same share", """
def cut(contents, labels, share, seed):
    seen = defaultdict(list)
    for i, c in enumerate(contents): seen[c].append(i)
    rows = [v[0] for v in seen.values() if len({labels[i] for i in v}) == 1]
    random.Random(seed).shuffle(rows)
    n = round(len(rows) * share)
    return rows[n:], rows[:n]
"""),
        ("the same seed gives another cut each time", """
def cut(contents, labels, share, seed):
    seen = defaultdict(list)
    for i, c in enumerate(contents): seen[c].append(i)
    rows = [v[0] for v in seen.values() if len({labels[i] for i in v}) == 1]
    random.shuffle(rows)
    train, test = [], []
    for c in range(4):
        mine = [i for i in rows if labels[i] == c]
        n = round(len(mine) * share)
        test += mine[:n]; train += mine[n:]
    return train, test
"""),
        ("another seed gives the same cut", """
def cut(contents, labels, share, seed):
    seen = defaultdict(list)
    for i, c in enumerate(contents): seen[c].append(i)
    rows = [v[0] for v in seen.values() if len({labels[i] for i in v}) == 1]
    train, test = [], []
    for c in range(4):
        mine = [i for i in rows if labels[i] == c]
        n = round(len(mine) * share)
        test += mine[:n]; train += mine[n:]
    return train, test
"""),
        ("copies are still in one part", """
def cut(contents, labels, share, seed):
    seen = defaultdict(list)
    for i, c in enumerate(contents): seen[c].append(i)
    groups = [v for v in seen.values() if len({labels[i] for i in v}) == 1]
    random.Random(seed).shuffle(groups)
    train, test = [], []
    for c in range(4):
        mine = [v for v in groups if labels[v[0]] == c]
        n = round(len(mine) * share)
        test += sum(mine[:n], []); train += sum(mine[n:], [])
    return train, test
"""),
    ],
    "data.4": [
        ("the test images are in the statistics", """
def normalise(train, test):
    every = torch.cat([train, test]) / 255
    m = every.mean((0, 2, 3))[:, None, None]
    s = every.std((0, 2, 3))[:, None, None]
    return (train / 255 - m) / s, (test / 255 - m) / s
"""),
        ("leaves out how images differ from each other", """
def normalise(train, test):
    mean, std = torch.zeros(3), torch.zeros(3)
    for image in train / 255:
        mean += image.mean((1, 2)) / len(train)
        std += image.std((1, 2)) / len(train)
    return [(x / 255 - mean[:, None, None]) / std[:, None, None] for x in (train, test)]
"""),
        ("with statistics of their own", """
def normalise(train, test):
    def scale(x):
        x = x.float()
        return (x - x.mean((0, 2, 3), keepdim=True)) / x.std((0, 2, 3), keepdim=True)
    return scale(train), scale(test)
"""),
        ("share one mean", """
def normalise(train, test):
    x = train.float() / 255
    return (x - x.mean()) / x.std(), (test / 255 - x.mean()) / x.std()
"""),
        ("each place in the image", """
def normalise(train, test):
    mean, std = (train / 255).mean(0, keepdim=True), (train / 255).std(0, keepdim=True)
    return (train / 255 - mean) / std, (test / 255 - mean) / std
"""),
        ("two scales are mixed", """
def normalise(train, test):
    x = train.float() / 255
    mean, std = x.mean((0, 2, 3)).view(1, 3, 1, 1), x.std((0, 2, 3)).view(1, 3, 1, 1)
    return (train - mean) / std, (test - mean) / std
"""),
        ("divided by the variance", """
def normalise(train, test):
    x = train.float() / 255
    std, mean = torch.var_mean(x, dim=(0, 2, 3), keepdim=True)
    return (x - mean) / std, (test / 255 - mean) / std
"""),
    ],
    "data.5": [
        ("the whole batch is mirrored", """
def augment(images, flips, shifts):
    H, W = images.shape[2:]
    padded = F.pad(images, (2, 2, 2, 2))
    out = torch.zeros_like(images)
    for i in range(len(images)):
        dy, dx = shifts[i]
        out[i] = padded[i, :, 2 + dy : 2 + dy + H, 2 + dx : 2 + dx + W]
    return out.flip(3) if flips[0] else out
"""),
        ("all are moved by the first one's", """
def augment(images, flips, shifts):
    H, W = images.shape[2:]
    dy, dx = shifts[0].tolist()
    out = F.pad(images, (2, 2, 2, 2))[:, :, 2 + dy : 2 + dy + H, 2 + dx : 2 + dx + W].clone()
    out[flips] = out[flips].flip(3)
    return out
"""),
        ("mirrored before the move", """
def augment(images, flips, shifts):
    H, W = images.shape[2:]
    out = []
    for image, flip, shift in zip(images, flips, shifts):
        if flip: image = image.flip(-1)
        dy, dx = shift.tolist()
        out.append(F.pad(image, (2, 2, 2, 2))[:, 2 + dy : 2 + dy + H, 2 + dx : 2 + dx + W])
    return torch.stack(out)
"""),
        ("rows and columns are exchanged", """
def augment(images, flips, shifts):
    out = []
    for image, flip, (dx, dy) in zip(images, flips, shifts.tolist()):
        image = F.pad(image, (-dx, dx, -dy, dy))
        out.append(image.flip(-1) if flip else image)
    return torch.stack(out)
"""),
        ("moved the other way", """
def augment(images, flips, shifts):
    out = []
    for image, flip, (dy, dx) in zip(images, flips, shifts.tolist()):
        image = F.pad(image, (dx, -dx, dy, -dy))
        out.append(image.flip(-1) if flip else image)
    return torch.stack(out)
"""),
        ("comes back on the other", """
def augment(images, flips, shifts):
    out = images.clone()
    for i, (dy, dx) in enumerate(shifts.tolist()):
        out[i] = torch.roll(images[i], (-dy, -dx), dims=(-2, -1))
        if flips[i]: out[i] = out[i].flip(-1)
    return out
"""),
        ("stand on their head", """
def augment(images, flips, shifts):
    out = []
    for image, flip, (dy, dx) in zip(images, flips, shifts.tolist()):
        image = F.pad(image, (-dx, dx, -dy, dy))
        out.append(image.flip(1) if flip else image)
    return torch.stack(out)
"""),
        ("the whole batch is mirrored", """
def augment(images, flips, shifts):
    out = torch.stack([F.pad(x, (-dx, dx, -dy, dy)) for x, (dy, dx) in zip(images, shifts.tolist())])
    if flips.any(): out = out.flip(3)
    return out
"""),
    ],
    "data.6": [
        ("hides real tokens", """
def batches(texts, budget, pad):
    out, rows = [], sorted(range(len(texts)), key=lambda i: len(texts[i]), reverse=True)
    while rows:
        n = max(1, budget // len(texts[rows[0]]))
        part, rows = rows[:n], rows[n:]
        ids = torch.nn.utils.rnn.pad_sequence([torch.tensor(texts[i]) for i in part], True, pad)
        out.append({"rows": part, "ids": ids, "mask": ids != pad})
    return out
"""),
        ("the budget counts real tokens only", """
def batches(texts, budget, pad):
    groups, used = [], budget + 1
    for i in sorted(range(len(texts)), key=lambda i: -len(texts[i])):
        if used + len(texts[i]) > budget:
            groups.append([])
            used = 0
        groups[-1].append(i)
        used += len(texts[i])
    out = []
    for g in groups:
        L = max(len(texts[i]) for i in g)
        out.append({"rows": g, "ids": torch.tensor([texts[i] + [pad] * (L - len(texts[i])) for i in g]),
                    "mask": torch.tensor([[j < len(texts[i]) for j in range(L)] for i in g])})
    return out
"""),
        ("padded to the longest of all texts", """
def batches(texts, budget, pad):
    L = max(map(len, texts))
    out, rows = [], sorted(range(len(texts)), key=lambda i: len(texts[i]), reverse=True)
    while rows:
        n = max(1, budget // len(texts[rows[0]]))
        part, rows = rows[:n], rows[n:]
        ids, mask = torch.full((len(part), L), pad), torch.zeros(len(part), L, dtype=torch.bool)
        for k, i in enumerate(part):
            ids[k, :len(texts[i])] = torch.tensor(texts[i])
            mask[k, :len(texts[i])] = True
        out.append({"rows": part, "ids": ids, "mask": mask})
    return out
"""),
        ("have changed their order", """
def batches(texts, budget, pad):
    out, rows = [], sorted(range(len(texts)), key=lambda i: len(texts[i]))
    rows.reverse()
    while rows:
        n = max(1, budget // len(texts[rows[0]]))
        part, rows = rows[:n], rows[n:]
        ids = torch.nn.utils.rnn.pad_sequence([torch.tensor(texts[i]) for i in part], True, pad)
        mask = torch.arange(ids.shape[1]) < torch.tensor([len(texts[i]) for i in part])[:, None]
        out.append({"rows": part, "ids": ids, "mask": mask})
    return out
"""),
        ("one text too few", """
def batches(texts, budget, pad):
    groups, current = [], []
    for i in sorted(range(len(texts)), key=lambda i: -len(texts[i])):
        if current and (len(current) + 1) * len(texts[current[0]]) >= budget:
            groups.append(current)
            current = []
        current.append(i)
    groups.append(current)
    out = []
    for g in groups:
        ids = torch.nn.utils.rnn.pad_sequence([torch.tensor(texts[i]) for i in g], batch_first=True, padding_value=pad)
        counts = torch.tensor([[len(texts[i])] for i in g])
        out.append({"rows": g, "ids": ids, "mask": torch.arange(ids.shape[1])[None] < counts})
    return out
"""),
        ("wherever `budget` is not met exactly", """
def batches(texts, budget, pad):
    rows = sorted(range(len(texts)), key=lambda i: -len(texts[i]))
    out, at = [], 0
    while at < len(rows):
        part = []
        while at < len(rows) and len(part) * len(texts[rows[at - len(part)]]) < budget:
            part.append(rows[at])
            at += 1
        ids = torch.nn.utils.rnn.pad_sequence([torch.tensor(texts[i]) for i in part], True, pad)
        mask = torch.arange(ids.shape[1]) < torch.tensor([len(texts[i]) for i in part])[:, None]
        out.append({"rows": part, "ids": ids, "mask": mask})
    return out
"""),
        ("is lost", """
def batches(texts, budget, pad):
    rows = [i for i in sorted(range(len(texts)), key=lambda i: -len(texts[i])) if len(texts[i]) <= budget]
    out = []
    while rows:
        n = budget // len(texts[rows[0]])
        part, rows = rows[:n], rows[n:]
        ids = torch.nn.utils.rnn.pad_sequence([torch.tensor(texts[i]) for i in part], True, pad)
        mask = torch.arange(ids.shape[1]) < torch.tensor([len(texts[i]) for i in part])[:, None]
        out.append({"rows": part, "ids": ids, "mask": mask})
    return out
"""),
        ("the texts are not sorted", """
def batches(texts, budget, pad):
    groups = [[]]
    for i, text in enumerate(texts):
        longest = max([len(text)] + [len(texts[j]) for j in groups[-1]])
        if groups[-1] and (len(groups[-1]) + 1) * longest > budget: groups.append([])
        groups[-1].append(i)
    out = []
    for g in groups:
        ids = torch.nn.utils.rnn.pad_sequence([torch.tensor(texts[i]) for i in g], batch_first=True, padding_value=pad)
        counts = torch.tensor([[len(texts[i])] for i in g])
        out.append({"rows": g, "ids": ids, "mask": torch.arange(ids.shape[1])[None] < counts})
    return out
"""),
        ("the wrong way round", """
def batches(texts, budget, pad):
    out, rows = [], sorted(range(len(texts)), key=lambda i: len(texts[i]), reverse=True)
    while rows:
        n = max(1, budget // len(texts[rows[0]]))
        part, rows = rows[:n], rows[n:]
        ids = torch.nn.utils.rnn.pad_sequence([torch.tensor(texts[i]) for i in part], True, pad)
        mask = torch.arange(ids.shape[1]) >= torch.tensor([len(texts[i]) for i in part])[:, None]
        out.append({"rows": part, "ids": ids, "mask": mask})
    return out
"""),
    ],
    "data.7": [
        ("each column of pixels has a share of its own, and each label", """
def mixup(images, labels, classes, share, partner, smoothing):
    y = torch.full((len(labels), classes), smoothing / classes)
    y[torch.arange(len(labels)), labels] += 1 - smoothing
    return share * images + (1 - share) * images[partner], share * y + (1 - share) * y[partner]
"""),
        ("rows no longer sum to 1", """
def mixup(images, labels, classes, share, partner, smoothing):
    y = torch.full((len(labels), classes), smoothing / classes)
    y[torch.arange(len(labels)), labels] += 1 - smoothing
    return torch.lerp(images[partner], images, share[:, None, None, None]), torch.lerp(y[partner], y, share)
"""),
        ("the images are mixed and the targets are not", """
def mixup(images, labels, classes, share, partner, smoothing):
    y = torch.full((len(labels), classes), smoothing / classes)
    y.scatter_(1, labels[:, None], 1 - smoothing + smoothing / classes)
    s = share.reshape(-1, 1, 1, 1)
    return s * images + (1 - s) * images[partner], y
"""),
        ("the smoothing goes to the other labels only", """
def mixup(images, labels, classes, share, partner, smoothing):
    y = torch.full((len(labels), classes), smoothing / (classes - 1))
    y.scatter_(1, labels[:, None], 1 - smoothing)
    s = share[:, None]
    mixed = [a * x + (1 - a) * z for a, x, z in zip(share, images, images[partner])]
    return torch.stack(mixed), s * y + (1 - s) * y[partner]
"""),
        ("sum to less than 1", """
def mixup(images, labels, classes, share, partner, smoothing):
    y = torch.full((len(labels), classes), smoothing / classes)
    y.scatter_(1, labels[:, None], 1 - smoothing)
    s = share.reshape(-1, 1, 1, 1)
    return s * images + (1 - s) * images[partner], share[:, None] * y + (1 - share[:, None]) * y[partner]
"""),
        ("`share` went to the partner", """
def mixup(images, labels, classes, share, partner, smoothing):
    y = F.one_hot(labels, classes) * (1 - smoothing) + smoothing / classes
    return images + share.view(-1, 1, 1, 1) * (images[partner] - images), y + share[:, None] * (y[partner] - y)
"""),
        ("all images have the share of the first", """
def mixup(images, labels, classes, share, partner, smoothing):
    lam = share[0].item()
    y = F.one_hot(labels, classes) * (1 - smoothing) + smoothing / classes
    return lam * images + (1 - lam) * images[partner], lam * y + (1 - lam) * y[partner]
"""),
        ("sum to more than 1", """
def mixup(images, labels, classes, share, partner, smoothing):
    y = F.one_hot(labels, classes) + smoothing / classes
    a = share.view(-1, 1, 1, 1)
    b = share.view(-1, 1)
    return a * images + (1 - a) * images[partner], b * y + (1 - b) * y[partner]
"""),
    ],
}
