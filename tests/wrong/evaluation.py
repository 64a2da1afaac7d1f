"""Wrong answers as people write them, each with a part of the sentence that should name the mistake."""

WRONG = {
    "evaluation.1": [
        ("two things still", """
def accuracy(logits, labels):
    total = 0.0
    for out, y in zip(logits, labels):
        total += (out.argmax(dim=2) == y).sum().item() / y.numel()
    return total / len(logits)
"""),
        ("-100 are in your denominator", """
def accuracy(logits, labels):
    right = torch.cat([(out.argmax(2) == y).flatten() for out, y in zip(logits, labels)])
    return right.float().mean().item()
"""),
        ("padding is left out now, but batches are averaged", """
def accuracy(logits, labels):
    shares = []
    for out, y in zip(logits, labels):
        keep = y.ne(-100)
        shares.append((out.argmax(-1)[keep] == y[keep]).float().mean().item())
    return float(np.mean(shares))
"""),
        ("sentences are averaged", """
def accuracy(logits, labels):
    shares = []
    for out, y in zip(logits, labels):
        keep = (y != -100).float()
        hits = (out.argmax(-1) == y).float() * keep
        shares.append(hits.sum(1) / keep.sum(1))
    return torch.cat(shares).mean()
"""),
        ("class 0 is left out", """
def accuracy(logits, labels):
    hits, total = 0, 0
    for out, y in zip(logits, labels):
        real = y > 0
        hits += (out.argmax(-1)[real] == y[real]).sum().item()
        total += real.sum().item()
    return hits / total
"""),
        ("padding counts as right", """
def accuracy(logits, labels):
    hits, total = 0, 0
    for out, y in zip(logits, labels):
        guess = out.argmax(-1).masked_fill(y == -100, -100)
        hits += (guess == y).sum().item()
        total += y.numel()
    return hits / total
"""),
        ("the last batch alone", """
def accuracy(logits, labels):
    for out, y in zip(logits, labels):
        keep = y != -100
        hits, total = (out.argmax(-1)[keep] == y[keep]).sum().item(), keep.sum().item()
    return hits / total
"""),
    ],
    "evaluation.2": [
        ("the matrix is transposed: the row is the true class", """
def confusion(predicted, labels, count):
    m = torch.zeros(count, count)
    for p, t in zip(predicted.tolist(), labels.tolist()):
        m[p, t] += 1
    return m, m.diag() / m.sum(0).clamp(min=1)
"""),
        ("your recall is the precision", """
def confusion(predicted, labels, count):
    m = torch.zeros(count, count)
    for p, t in zip(predicted.tolist(), labels.tolist()):
        m[p, t] += 1
    return m, m.diag() / m.sum(1).clamp(min=1)
"""),
        ("the second is the precision", """
def confusion(predicted, labels, count):
    m = torch.zeros(count, count)
    for p, t in zip(predicted.tolist(), labels.tolist()):
        m[t, p] += 1
    called = m.sum(0)
    return m, torch.where(called > 0, m.diag() / called, 0.0)
"""),
        ("the recall NaN", """
def confusion(predicted, labels, count):
    m = torch.stack([torch.bincount(predicted[labels == i], minlength=count) for i in range(count)])
    return m, torch.stack([(predicted[labels == i] == i).float().mean() for i in range(count)])
"""),
        ("counted once at most", """
def confusion(predicted, labels, count):
    m = torch.zeros(count, count)
    m[labels, predicted] += 1
    return m, m.diag() / m.sum(1).clamp(min=1)
"""),
        ("classes that do not occur are left out", """
def confusion(predicted, labels, count):
    from sklearn.metrics import confusion_matrix
    m = torch.tensor(confusion_matrix(labels.numpy(), predicted.numpy()))
    return m, m.diag() / m.sum(1).clamp(min=1)
"""),
        ("whichever classes occur", """
def confusion(predicted, labels, count):
    m = torch.stack([torch.bincount(predicted[labels == i], minlength=count) for i in labels.unique()])
    return m, (m / m.sum(1, keepdim=True)).amax(1)
"""),
        ("not by all examples", """
def confusion(predicted, labels, count):
    m = torch.zeros(count, count)
    for p, t in zip(predicted.tolist(), labels.tolist()):
        m[t, p] += 1
    return m, m.diag() / len(labels)
"""),
        ("the matrix is right, and the recall holds NaN", """
def confusion(predicted, labels, count):
    m = torch.zeros(count, count)
    for p, t in zip(predicted.tolist(), labels.tolist()):
        m[t, p] += 1
    return m, m.diag() / m.sum(0)
"""),
    ],
    "evaluation.3": [
        ("shrinks to a point", """
def interval(right, n):
    p = right / n
    error = (p * (1 - p) / n) ** 0.5
    return p - 1.96 * error, p + 1.96 * error
"""),
        ("cut off at 0 and 1", """
def interval(right, n):
    p = right / n
    error = np.sqrt(p * (1 - p) / n)
    return max(0, p - 1.96 * error), min(1, p + 1.96 * error)
"""),
        ("on *each* side", """
def interval(right, n):
    p = np.linspace(0, 1, 100_001)
    fits = p[abs(right / n - p) <= 1.645 * np.sqrt(p * (1 - p) / n)]
    return fits[0], fits[-1]
"""),
        ("Agresti and Coull", """
def interval(right, n):
    n, right = n + 1.96 ** 2, right + 1.96 ** 2 / 2
    p = right / n
    half = 1.96 * math.sqrt(p * (1 - p) / n)
    return p - half, p + half
"""),
        ("per cent", """
def interval(right, n):
    p = np.linspace(0, 1, 100_001)
    fits = p[abs(right / n - p) <= 1.96 * np.sqrt(p * (1 - p) / n)]
    return 100 * fits.min(), 100 * fits.max()
"""),
        ("68 %", """
def interval(right, n):
    p = torch.linspace(0, 1, 100_001, dtype=torch.float64)
    fits = p[(right / n - p).abs() <= (p * (1 - p) / n).sqrt()]
    return fits[0], fits[-1]
"""),
        ("`wilson` of the library is called", """
from ftcourse.evaluation import wilson
def interval(right, n):
    return wilson(right, n)
"""),
    ],
    "evaluation.4": [
        ("the bins are not weighted", """
def calibration_error(probabilities, labels, bins):
    conf, guess = probabilities.max(1)
    gaps = []
    for k in range(bins):
        inside = (conf > k / bins) & (conf <= (k + 1) / bins)
        if inside.any():
            gaps.append(abs(conf[inside].mean() - (guess == labels)[inside].float().mean()))
    return float(np.mean([float(g) for g in gaps]))
"""),
        ("empty ones too", """
def calibration_error(probabilities, labels, bins):
    conf, guess = probabilities.max(1)
    total = 0.0
    for k in range(bins):
        inside = (conf > k / bins) & (conf <= (k + 1) / bins)
        if inside.sum() > 0:
            total += abs(conf[inside].mean() - (guess == labels)[inside].float().mean()).item()
    return total / bins
"""),
        ("too modest in another", """
def calibration_error(probabilities, labels, bins):
    conf, guess = probabilities.max(1)
    total = 0.0
    for k in range(bins):
        inside = (conf > k / bins) & (conf <= (k + 1) / bins)
        if inside.any():
            gap = conf[inside].mean() - (guess == labels)[inside].float().mean()
            total += gap.item() * inside.sum().item() / len(labels)
    return total
"""),
        ("the gaps have signs, and", """
def calibration_error(probabilities, labels, bins):
    return abs(probabilities.amax(1).mean() - (probabilities.argmax(1) == labels).float().mean())
"""),
        ("not that of the label", """
def calibration_error(probabilities, labels, bins):
    conf = probabilities[torch.arange(len(labels)), labels]
    hit = (probabilities.argmax(1) == labels).float()
    total = 0.0
    for k in range(bins):
        inside = (conf > k / bins) & (conf <= (k + 1) / bins)
        if inside.any():
            total += (conf[inside].mean() - hit[inside].mean()).abs().item() * inside.float().mean().item()
    return total
"""),
        ("*maximum* calibration error", """
def calibration_error(probabilities, labels, bins):
    conf, guess = probabilities.max(1)
    worst = 0.0
    for k in range(bins):
        inside = (conf > k / bins) & (conf <= (k + 1) / bins)
        if inside.any():
            worst = max(worst, abs(conf[inside].mean() - (guess == labels)[inside].float().mean()).item())
    return worst
"""),
        ("the middle of the bin", """
def calibration_error(probabilities, labels, bins):
    conf, guess = probabilities.max(1)
    total = 0.0
    for k in range(bins):
        inside = (conf > k / bins) & (conf <= (k + 1) / bins)
        if inside.any():
            gap = (k + 0.5) / bins - (guess == labels)[inside].float().mean().item()
            total += abs(gap) * inside.float().mean().item()
    return total
"""),
        ("equally many examples", """
def calibration_error(probabilities, labels, bins):
    conf, guess = probabilities.max(1)
    order = np.argsort(conf.numpy())
    total = 0.0
    for part in np.array_split(order, bins):
        part = torch.from_numpy(part)
        total += abs(conf[part].sum() - (guess == labels)[part].sum()).item()
    return total / len(labels)
"""),
        ("`_calibration_error` of the library is called", """
def calibration_error(probabilities, labels, bins):
    from ftcourse import evaluation
    return evaluation._calibration_error(probabilities, labels, bins)
"""),
    ],
    "evaluation.5": [
        ("the two lists are exchanged", """
def stands_out(rows):
    over, under = [], []
    for i, (c, a, n) in enumerate(rows):
        error = math.sqrt(c * (1 - c) / n)
        if a > c + 2 * error: over.append(i)
        if a < c - 2 * error: under.append(i)
    return over, under
"""),
        ("a fixed gap of 0.1", """
def stands_out(rows):
    return [i for i, r in enumerate(rows) if r[0] - r[1] > 0.1], [i for i, r in enumerate(rows) if r[1] - r[0] > 0.1]
"""),
        ("every bar is in one", """
def stands_out(rows):
    return [i for i, r in enumerate(rows) if r[1] < r[0]], [i for i, r in enumerate(rows) if r[1] > r[0]]
"""),
        ("that of the observed accuracy", """
def stands_out(rows):
    over, under = [], []
    for i, (c, a, n) in enumerate(rows):
        error = (a * (1 - a) / n) ** 0.5
        if abs(a - c) > 2 * error:
            (over if a < c else under).append(i)
    return over, under
"""),
        ("one standard error", """
def stands_out(rows):
    over, under = [], []
    for i, (c, a, n) in enumerate(rows):
        if abs(a - c) > (c * (1 - c) / n) ** 0.5:
            (over if a < c else under).append(i)
    return over, under
"""),
        ("the root is missing", """
def stands_out(rows):
    c, a, n = torch.tensor(rows, dtype=torch.float64).T
    z = (a - c) / (c * (1 - c) / n)
    return (z < -2).nonzero().flatten().tolist(), (z > 2).nonzero().flatten().tolist()
"""),
        ("the number of examples does not enter", """
def stands_out(rows):
    c, a, n = np.array(rows).T
    z = (a - c) / np.sqrt(c * (1 - c))
    return np.flatnonzero(z < -2).tolist(), np.flatnonzero(z > 2).tolist()
"""),
        ("do *not* stand out", """
def stands_out(rows):
    over, under = [], []
    for i, (c, a, n) in enumerate(rows):
        if abs(a - c) <= 2 * (c * (1 - c) / n) ** 0.5:
            (over if a < c else under).append(i)
    return over, under
"""),
    ],
    "evaluation.6": [
        ("multiplied", """
def calibrate(logits, labels, new_logits):
    log_t = torch.zeros((), requires_grad=True)
    optimizer = torch.optim.LBFGS([log_t], max_iter=100, line_search_fn="strong_wolfe")
    def loss():
        optimizer.zero_grad()
        value = F.cross_entropy(logits / log_t.exp(), labels)
        value.backward()
        return value
    optimizer.step(loss)
    return (new_logits * log_t.exp()).softmax(1)
"""),
        ("changes nothing", """
def calibrate(logits, labels, new_logits):
    best = min(np.arange(0.3, 10, 0.02), key=lambda t: F.cross_entropy(logits / t, labels).item())
    p = new_logits.softmax(1) / best
    return p / p.sum(1, keepdim=True)
"""),
        ("divided after the softmax", """
def calibrate(logits, labels, new_logits):
    best = min(np.geomspace(0.3, 10, 2000), key=lambda t: F.cross_entropy(logits / t, labels).item())
    return F.softmax(new_logits, dim=1) / best
"""),
        ("a second softmax flattens", """
def calibrate(logits, labels, new_logits):
    best = min(np.geomspace(0.3, 10, 2000), key=lambda t: F.cross_entropy(logits / t, labels).item())
    return F.softmax(F.softmax(new_logits, dim=1) / best, dim=1)
"""),
        ("equal to the accuracy", """
def calibrate(logits, labels, new_logits):
    accuracy = (logits.argmax(1) == labels).float().mean()
    gap = lambda t: abs((logits / t).softmax(1).amax(1).mean() - accuracy).item()
    best = min(np.geomspace(0.2, 20, 3000), key=gap)
    return (new_logits / best).softmax(1)
"""),
        ("the probabilities for a temperature of", """
def calibrate(logits, labels, new_logits):
    best = min(np.arange(0.8, 1.4, 0.01), key=lambda t: F.cross_entropy(logits / t, labels).item())
    return (new_logits / best).softmax(1)
"""),
        ("the probabilities for a temperature of", """
def calibrate(logits, labels, new_logits):
    return torch.softmax(new_logits / 1.5, dim=1)
"""),
        ("the probabilities for a temperature of", """
def calibrate(logits, labels, new_logits):
    guess = new_logits.argmax(1)
    best = min(np.geomspace(0.3, 10, 500), key=lambda t: F.cross_entropy(new_logits / t, guess).item())
    return (new_logits / best).softmax(1)
"""),
        ("no temperature gives these", """
def calibrate(logits, labels, new_logits):
    return (new_logits / new_logits.std(1, keepdim=True)).softmax(1)
"""),
    ],
    "evaluation.7": [
        ("in train mode, with gradients, and batches averaged", """
def evaluate(model, batches):
    losses, hits = [], []
    for x, y in batches:
        out = model(x)
        losses.append(F.cross_entropy(out, y).item())
        hits.append((out.argmax(1) == y).float().mean().item())
    return np.mean(losses), np.mean(hits)
"""),
        ("the network is in train mode still", """
@torch.no_grad()
def evaluate(model, batches):
    loss, right, n = 0.0, 0, 0
    for x, y in batches:
        out = model(x)
        loss += F.cross_entropy(out, y).item() * len(y)
        right += (out.argmax(1) == y).sum().item()
        n += len(y)
    return loss / n, right / n
"""),
        ("batches are averaged", """
@torch.no_grad()
def evaluate(model, batches):
    modes = {m: m.training for m in model.modules()}
    model.eval()
    losses, hits = [], []
    for x, y in batches:
        out = model(x)
        losses.append(F.cross_entropy(out, y).item())
        hits.append((out.argmax(1) == y).float().mean().item())
    for m, mode in modes.items(): m.training = mode
    return sum(losses) / len(losses), sum(hits) / len(hits)
"""),
        ("a graph is built", """
def evaluate(model, batches):
    modes = {m: m.training for m in model.modules()}
    model.eval()
    loss, right, n = 0.0, 0, 0
    for x, y in batches:
        out = model(x)
        loss += F.cross_entropy(out, y).item() * len(y)
        right += (out.argmax(1) == y).sum().item()
        n += len(y)
    for m, mode in modes.items(): m.training = mode
    return loss / n, right / n
"""),
        ("stays in evaluation mode", """
@torch.inference_mode()
def evaluate(model, batches):
    model.eval()
    out, y = model(torch.cat([x for x, _ in batches])), torch.cat([y for _, y in batches])
    return F.cross_entropy(out, y), (out.argmax(1) == y).float().mean()
"""),
        ("`model.train()` at the end", """
@torch.no_grad()
def evaluate(model, batches):
    model.eval()
    out, y = model(torch.cat([x for x, _ in batches])), torch.cat([y for _, y in batches])
    model.train()
    return F.cross_entropy(out, y), (out.argmax(1) == y).float().mean()
"""),
        ("the frozen stage woke", """
@torch.no_grad()
def evaluate(model, batches):
    was = model.training
    model.eval()
    out, y = model(torch.cat([x for x, _ in batches])), torch.cat([y for _, y in batches])
    if was: model.train()
    return F.cross_entropy(out, y), (out.argmax(1) == y).float().mean()
"""),
        ("do not want their gradient", """
def evaluate(model, batches):
    modes = {m: m.training for m in model.modules()}
    model.eval().requires_grad_(False)
    out, y = model(torch.cat([x for x, _ in batches])), torch.cat([y for _, y in batches])
    for m, mode in modes.items(): m.training = mode
    return F.cross_entropy(out, y), (out.argmax(1) == y).float().mean()
"""),
        ("a graph for gradients is built", """
def evaluate(model, batches):
    model.eval()
    out, y = model(torch.cat([x for x, _ in batches])), torch.cat([y for _, y in batches])
    model.train()
    return F.cross_entropy(out, y).item(), (out.argmax(1) == y).float().mean().item()
"""),
    ],
    "evaluation.8": [
        ("two shares, pooled variance", """
def paired(right_a, right_b):
    n = len(right_a)
    p, q = right_a.float().mean().item(), right_b.float().mean().item()
    middle = (p + q) / 2
    z = (q - p) / (middle * (1 - middle) * 2 / n) ** 0.5
    return q - p, math.erfc(abs(z) / 2 ** 0.5)
"""),
        ("the variances of both accuracies added", """
def paired(right_a, right_b):
    n = len(right_a)
    p, q = right_a.double().mean().item(), right_b.double().mean().item()
    z = (q - p) / math.sqrt(p * (1 - p) / n + q * (1 - q) / n)
    return q - p, 2 * (1 - 0.5 * (1 + math.erf(abs(z) / math.sqrt(2))))
"""),
        ("one-sided", """
def paired(right_a, right_b):
    b, c = int((right_a & ~right_b).sum()), int((~right_a & right_b).sum())
    p = sum(math.comb(b + c, i) * 0.5 ** (b + c) for i in range(min(b, c) + 1))
    return (c - b) / len(right_a), p
"""),
        ("approximation by chi-square", """
def paired(right_a, right_b):
    b, c = int((right_a & ~right_b).sum()), int((~right_a & right_b).sum())
    return (c - b) / len(right_a), math.erfc(((b - c) ** 2 / (b + c) / 2) ** 0.5)
"""),
        ("chi-square with a continuity correction, which", """
def paired(right_a, right_b):
    b, c = int((right_a & ~right_b).sum()), int((~right_a & right_b).sum())
    return (c - b) / len(right_a), math.erfc(((abs(b - c) - 1) ** 2 / (b + c) / 2) ** 0.5)
"""),
        ("exceeds 1", """
def paired(right_a, right_b):
    b, c = int((right_a & ~right_b).sum()), int((~right_a & right_b).sum())
    p = 2 * sum(math.comb(b + c, i) for i in range(min(b, c) + 1)) / 2 ** (b + c)
    return (c - b) / len(right_a), p
"""),
        ("it is B minus A", """
def paired(right_a, right_b):
    b, c = int((right_a & ~right_b).sum()), int((~right_a & right_b).sum())
    p = 2 * sum(math.comb(b + c, i) for i in range(min(b, c) + 1)) / 2 ** (b + c)
    return (right_a.float().mean() - right_b.float().mean()).item(), min(p, 1)
"""),
        ("missing from the tail", """
def paired(right_a, right_b):
    b, c = int((right_a & ~right_b).sum()), int((~right_a & right_b).sum())
    p = 2 * sum(math.comb(b + c, i) for i in range(min(b, c))) / 2 ** (b + c)
    return (c - b) / len(right_a), min(p, 1)
"""),
        ("`_mcnemar` of the library is called", """
from ftcourse.evaluation import _mcnemar
def paired(right_a, right_b):
    b, c = int((right_a & ~right_b).sum()), int((~right_a & right_b).sum())
    return (c - b) / len(right_a), _mcnemar(b, c)
"""),
    ],
}
