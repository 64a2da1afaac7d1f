"""Wrong answers as people write them, each with a part of the sentence that should name the mistake."""

WRONG = {
    "strategies.1": [
        ("from the front", """
def plan(stages, epochs, lr):
    rates = [lr / 2.6 ** (len(stages) - 1 - i) for i in range(len(stages))]
    return [dict(zip(stages[:epoch + 1], rates)) for epoch in range(epochs)]
"""),
        ("chain-thaw", """
def plan(stages, epochs, lr):
    out = []
    for epoch in range(epochs):
        depth = min(epoch, len(stages) - 1)
        out.append({stages[-1 - depth]: lr / 2.6 ** depth})
    return out
"""),
        ("everything learns from the first epoch on", """
def plan(stages, epochs, lr):
    return [{name: lr / 2.6 ** i for i, name in enumerate(stages[::-1])} for _ in range(epochs)]
"""),
        ("one epoch late", """
def plan(stages, epochs, lr):
    out = []
    for epoch in range(epochs):
        learning = stages[::-1][:epoch]
        out.append({name: lr / 2.6 ** i for i, name in enumerate(learning)})
    return out
"""),
        ("one stage too early", """
def plan(stages, epochs, lr):
    return [{name: lr / 2.6 ** i for i, name in enumerate(stages[::-1][:epoch + 2])} for epoch in range(epochs)]
"""),
        ("a rate of 0", """
def plan(stages, epochs, lr):
    out = []
    for epoch in range(epochs):
        rates = {}
        for i, name in enumerate(reversed(stages)):
            rates[name] = lr / 2.6 ** i if i <= epoch else 0
        out.append(rates)
    return out
"""),
        ("the plan ends when all stages learn", """
def plan(stages, epochs, lr):
    out, rates, rate = [], {}, lr
    for epoch, name in zip(range(epochs), reversed(stages)):
        rates[name] = rate
        rate /= 2.6
        out.append(dict(rates))
    return out
"""),
        ("one dictionary for each stage", """
def plan(stages, epochs, lr):
    out, rates, rate = [], {}, lr
    for name in reversed(stages):
        rates = rates | {name: rate}
        rate /= 2.6
        out.append(rates)
    return out
"""),
        ("all stages have one rate", """
def plan(stages, epochs, lr):
    return [dict.fromkeys(stages[-epoch - 1:], lr) for epoch in range(epochs)]
"""),
        ("counted from the stage that joined last", """
def plan(stages, epochs, lr):
    return [{name: lr / 2.6 ** i for i, name in enumerate(stages[-epoch - 1:])} for epoch in range(epochs)]
"""),
        ("`2.6 ** depth`", """
def plan(stages, epochs, lr):
    return [{name: lr / (2.6 * i) if i else lr for i, name in enumerate(stages[::-1][:e + 1])} for e in range(epochs)]
"""),
    ],
    "strategies.2": [
        ("all three are still there", """
def only_biases(model, head):
    for name, p in model.named_parameters():
        p.requires_grad_("bias" in name)
    return np.mean([p.requires_grad for p in model.parameters()])
"""),
        ("the weights of the head are frozen", """
def only_biases(model, head):
    for name, p in model.named_parameters():
        p.requires_grad = name.endswith(".bias")
    learning = sum(p.numel() for p in model.parameters() if p.requires_grad)
    return learning / sum(p.numel() for p in model.parameters())
"""),
        ("the table of positions learns: `bias`", """
def only_biases(model, head):
    for name, p in model.named_parameters():
        p.requires_grad = "bias" in name
    getattr(model, "get_submodule")(head).requires_grad_(True)
    learning = sum(p.numel() for p in model.parameters() if p.requires_grad)
    return learning / sum(p.numel() for p in model.parameters())
"""),
        ("the table of positions learns, and the weights of the head", """
def only_biases(model, head):
    total = learning = 0
    for name, p in model.named_parameters():
        p.requires_grad = "bias" in name
        total += p.numel()
        learning += p.numel() * p.requires_grad
    return learning / total
"""),
        ("whose name begins like that of the head", """
def only_biases(model, head):
    total = learning = 0
    for name, p in model.named_parameters():
        p.requires_grad = name.endswith(".bias") or name.startswith(head)
        total += p.numel()
        learning += p.numel() * p.requires_grad
    return learning / total
"""),
        ("whose name begins like that of the head", """
def only_biases(model, head):
    total = learning = 0
    for name, p in model.named_parameters():
        p.requires_grad = name.rpartition(".")[2] == "bias" or head in name
        total += p.numel()
        learning += p.numel() * p.requires_grad
    return learning / total
"""),
        ("the biases of the norms are frozen", """
def only_biases(model, head):
    model.requires_grad_(False)
    for m in model.modules():
        if isinstance(m, (nn.Linear, nn.Conv1d, nn.Conv2d)) and m.bias is not None:
            m.bias.requires_grad = True
    model.get_submodule(head).requires_grad_(True)
    learning = sum(p.numel() for p in model.parameters() if p.requires_grad)
    return learning / sum(p.numel() for p in model.parameters())
"""),
        ("the biases of the convolution are frozen", """
def only_biases(model, head):
    model.requires_grad_(False)
    for m in model.modules():
        if isinstance(m, nn.Linear):
            m.bias.requires_grad = True
    model.get_submodule(head).requires_grad_(True)
    learning = sum(p.numel() for p in model.parameters() if p.requires_grad)
    return learning / sum(p.numel() for p in model.parameters())
"""),
        ("the weights of the norms learn", """
def only_biases(model, head):
    for p in model.parameters():
        p.requires_grad = p.dim() == 1
    for p in model.get_submodule(head).parameters():
        p.requires_grad = True
    learning = sum(p.numel() for p in model.parameters() if p.requires_grad)
    return learning / sum(p.numel() for p in model.parameters())
"""),
        ("what learned before still does", """
def only_biases(model, head):
    for name, p in model.named_parameters():
        if name.endswith(".bias"): p.requires_grad = True
    model.get_submodule(head).requires_grad_(True)
    learning = sum(p.numel() for p in model.parameters() if p.requires_grad)
    return learning / sum(p.numel() for p in model.parameters())
"""),
        ("what was frozen before still is", """
def only_biases(model, head):
    total = learning = 0
    for name, p in model.named_parameters():
        if not (name.endswith(".bias") or name.startswith(head + ".")): p.requires_grad = False
        total += p.numel()
        learning += p.numel() * p.requires_grad
    return learning / total
"""),
        ("it counts tensors", """
def only_biases(model, head):
    for name, p in model.named_parameters():
        p.requires_grad = name.endswith(".bias") or name.startswith(head + ".")
    learning = [p for p in model.parameters() if p.requires_grad]
    return len(learning) / len(list(model.parameters()))
"""),
        ("over what is frozen", """
def only_biases(model, head):
    for name, p in model.named_parameters():
        p.requires_grad = name.endswith(".bias") or name.startswith(head + ".")
    learning = sum(p.numel() for p in model.parameters() if p.requires_grad)
    return learning / sum(p.numel() for p in model.parameters() if not p.requires_grad)
"""),
    ],
    "strategies.3": [
        ("the factor `alpha / rank` is missing", """
class Lora(nn.Module):
    def __init__(self, base, rank, alpha):
        super().__init__()
        self.base = base.requires_grad_(False)
        self.A = nn.Linear(base.in_features, rank, bias=False)
        self.B = nn.Linear(rank, base.out_features, bias=False)
        nn.init.zeros_(self.B.weight)

    def forward(self, x):
        return self.base(x) + self.B(self.A(x))

    def merged(self):
        new = copy.deepcopy(self.base)
        new.weight.data = new.weight.data + self.B.weight.data @ self.A.weight.data
        return new
"""),
        ("the factor is `alpha` alone", """
class Lora(nn.Module):
    def __init__(self, base, rank, alpha):
        super().__init__()
        self.base, self.alpha = base.requires_grad_(False), alpha
        self.A = nn.Parameter(torch.randn(rank, base.in_features) * 0.02)
        self.B = nn.Parameter(torch.zeros(base.out_features, rank))

    def forward(self, x):
        return self.base(x) + self.alpha * (x @ self.A.T) @ self.B.T

    def merged(self):
        new = copy.deepcopy(self.base)
        new.weight.data += self.alpha * (self.B @ self.A).data
        return new
"""),
        ("rank-stabilised", """
class Lora(nn.Module):
    def __init__(self, base, rank, alpha):
        super().__init__()
        self.base, self.scale = base.requires_grad_(False), alpha / rank ** 0.5
        self.A = nn.Parameter(torch.randn(rank, base.in_features) * 0.02)
        self.B = nn.Parameter(torch.zeros(base.out_features, rank))

    def forward(self, x):
        return self.base(x) + self.scale * (x @ self.A.T) @ self.B.T

    def merged(self):
        new = copy.deepcopy(self.base)
        new.weight.data += self.scale * (self.B @ self.A).data
        return new
"""),
        ("the parameters of `base` learn too", """
class Lora(nn.Module):
    def __init__(self, base, rank, alpha):
        super().__init__()
        self.base, self.scale = base, alpha / rank
        self.A = nn.Parameter(torch.randn(rank, base.in_features) * 0.02)
        self.B = nn.Parameter(torch.zeros(base.out_features, rank))

    def forward(self, x):
        return self.base(x) + self.scale * (x @ self.A.T) @ self.B.T

    def merged(self):
        new = copy.deepcopy(self.base)
        new.weight.data += self.scale * (self.B @ self.A).data
        return new
"""),
        ("nothing learns", """
class Lora(nn.Module):
    def __init__(self, base, rank, alpha):
        super().__init__()
        self.base, self.scale = base, alpha / rank
        self.A = nn.Parameter(torch.randn(rank, base.in_features) * 0.02)
        self.B = nn.Parameter(torch.zeros(base.out_features, rank))
        self.requires_grad_(False)

    def forward(self, x):
        return self.base(x) + self.scale * (x @ self.A.T) @ self.B.T

    def merged(self):
        new = copy.deepcopy(self.base)
        new.weight.data += self.scale * self.B @ self.A
        return new
"""),
        ("have biases that learn as well", """
class Lora(nn.Module):
    def __init__(self, base, rank, alpha):
        super().__init__()
        self.base, self.scale = base.requires_grad_(False), alpha / rank
        self.A = nn.Linear(base.in_features, rank)
        self.B = nn.Linear(rank, base.out_features)
        nn.init.zeros_(self.B.weight)
        nn.init.zeros_(self.B.bias)

    def forward(self, x):
        return self.base(x) + self.scale * self.B(self.A(x))

    def merged(self):
        new = copy.deepcopy(self.base)
        new.weight.data += self.scale * self.B.weight.data @ self.A.weight.data
        return new
"""),
        ("B does not begin with zeros", """
class Lora(nn.Module):
    def __init__(self, base, rank, alpha):
        super().__init__()
        self.base, self.scale = base.requires_grad_(False), alpha / rank
        self.A = nn.Linear(base.in_features, rank, bias=False)
        self.B = nn.Linear(rank, base.out_features, bias=False)

    def forward(self, x):
        return self.base(x) + self.scale * self.B(self.A(x))

    def merged(self):
        new = copy.deepcopy(self.base)
        new.weight.data += self.scale * self.B.weight.data @ self.A.weight.data
        return new
"""),
        ("A and B are both zero", """
class Lora(nn.Module):
    def __init__(self, base, rank, alpha):
        super().__init__()
        self.base, self.scale = base.requires_grad_(False), alpha / rank
        self.A = nn.Parameter(torch.zeros(rank, base.in_features))
        self.B = nn.Parameter(torch.zeros(base.out_features, rank))

    def forward(self, x):
        return F.linear(x, self.base.weight + self.scale * self.B @ self.A, self.base.bias)

    def merged(self):
        new = copy.deepcopy(self.base)
        new.weight.data += self.scale * self.B.data @ self.A.data
        return new
"""),
        ("the other way round", """
class Lora(nn.Module):
    def __init__(self, base, rank, alpha):
        super().__init__()
        self.base, self.scale = base.requires_grad_(False), alpha / rank
        self.A = nn.Parameter(torch.zeros(rank, base.in_features))
        self.B = nn.Parameter(torch.randn(base.out_features, rank))

    def forward(self, x):
        return F.linear(x, self.base.weight + self.scale * self.B @ self.A, self.base.bias)

    def merged(self):
        new = copy.deepcopy(self.base)
        new.weight.data += self.scale * self.B.data @ self.A.data
        return new
"""),
        ("what `base` gives is missing", """
class Lora(nn.Module):
    def __init__(self, base, rank, alpha):
        super().__init__()
        self.base, self.scale = base.requires_grad_(False), alpha / rank
        self.A = nn.Parameter(torch.randn(rank, base.in_features))
        self.B = nn.Parameter(torch.zeros(base.out_features, rank))

    def forward(self, x):
        return self.scale * x @ self.A.T @ self.B.T

    def merged(self):
        new = copy.deepcopy(self.base)
        new.weight.data += self.scale * self.B.data @ self.A.data
        return new
"""),
        ("`merged` leaves out the factor", """
class Lora(nn.Module):
    def __init__(self, base, rank, alpha):
        super().__init__()
        self.base, self.scale = base.requires_grad_(False), alpha / rank
        self.A = nn.Parameter(torch.randn(rank, base.in_features))
        self.B = nn.Parameter(torch.zeros(base.out_features, rank))

    def forward(self, x):
        return self.base(x) + self.scale * x @ self.A.T @ self.B.T

    @torch.no_grad()
    def merged(self):
        new = nn.Linear(self.base.in_features, self.base.out_features, bias=self.base.bias is not None)
        new.weight.copy_(self.base.weight + self.B @ self.A)
        if self.base.bias is not None: new.bias.copy_(self.base.bias)
        return new
"""),
        ("counts them twice", """
class Lora(nn.Module):
    def __init__(self, base, rank, alpha):
        super().__init__()
        self.base, self.scale = base.requires_grad_(False), alpha / rank
        self.A = nn.Parameter(torch.randn(rank, base.in_features))
        self.B = nn.Parameter(torch.zeros(base.out_features, rank))

    def forward(self, x):
        return self.base(x) + self.scale * x @ self.A.T @ self.B.T

    def merged(self):
        self.base.weight.data += self.scale * self.B.data @ self.A.data
        return self.base
"""),
        ("loses the bias", """
class Lora(nn.Module):
    def __init__(self, base, rank, alpha):
        super().__init__()
        self.base, self.scale = base.requires_grad_(False), alpha / rank
        self.A = nn.Parameter(torch.randn(rank, base.in_features))
        self.B = nn.Parameter(torch.zeros(base.out_features, rank))

    def forward(self, x):
        return self.base(x) + self.scale * x @ self.A.T @ self.B.T

    def merged(self):
        new = nn.Linear(self.base.in_features, self.base.out_features, bias=False)
        new.weight = nn.Parameter(self.base.weight + self.scale * self.B @ self.A)
        return new
"""),
        ("does not return an `nn.Linear`", """
class Lora(nn.Module):
    def __init__(self, base, rank, alpha):
        super().__init__()
        self.base, self.scale = base.requires_grad_(False), alpha / rank
        self.A = nn.Parameter(torch.randn(rank, base.in_features))
        self.B = nn.Parameter(torch.zeros(base.out_features, rank))

    def forward(self, x):
        return self.base(x) + self.scale * x @ self.A.T @ self.B.T

    def merged(self):
        return self.base.weight + self.scale * self.B @ self.A
"""),
        ("parameters of these shapes learn", """
class Lora(nn.Module):
    def __init__(self, base, rank, alpha):
        super().__init__()
        self.base, self.scale = base.requires_grad_(False), alpha / rank
        self.A = nn.Parameter(torch.randn(base.in_features, rank))
        self.B = nn.Parameter(torch.zeros(rank, base.out_features))

    def forward(self, x):
        return self.base(x) + self.scale * x @ self.A @ self.B

    def merged(self):
        new = copy.deepcopy(self.base)
        new.weight.data += self.scale * (self.A @ self.B).T.data
        return new
"""),
    ],
    "strategies.4": [
        ("two separate groups (with pooled variance)", """
def beside(rows, name, other):
    from scipy.stats import ttest_ind
    a = [r["test"] for r in rows if r["strategy"] == name]
    b = [r["test"] for r in rows if r["strategy"] == other]
    interval = ttest_ind(a, b).confidence_interval(0.95)
    return np.mean(a) - np.mean(b), interval.low, interval.high
"""),
        ("Welch", """
def beside(rows, name, other):
    from scipy.stats import ttest_ind
    a = [r["test"] for r in rows if r["strategy"] == name]
    b = [r["test"] for r in rows if r["strategy"] == other]
    interval = ttest_ind(a, b, equal_var=False).confidence_interval(0.95)
    return np.mean(a) - np.mean(b), interval.low, interval.high
"""),
        ("the right seeds, but as two separate groups", """
def beside(rows, name, other):
    from scipy.stats import ttest_ind
    a = {r["seed"]: r["test"] for r in rows if r["strategy"] == name}
    b = {r["seed"]: r["test"] for r in rows if r["strategy"] == other}
    both = a.keys() & b.keys()
    x, y = [a[s] for s in both], [b[s] for s in both]
    interval = ttest_ind(x, y).confidence_interval(0.95)
    return np.mean(x) - np.mean(y), interval.low, interval.high
"""),
        ("variances of both strategies are added", """
def beside(rows, name, other):
    a = {r["seed"]: r["test"] for r in rows if r["strategy"] == name}
    b = {r["seed"]: r["test"] for r in rows if r["strategy"] == other}
    both = a.keys() & b.keys()
    x, y = np.array([a[s] for s in both]), np.array([b[s] for s in both])
    n = len(both)
    half = t.ppf(0.975, n - 1) * np.sqrt(x.var(ddof=1) / n + y.var(ddof=1) / n)
    mean = (x - y).mean()
    return mean, mean - half, mean + half
"""),
        ("in the order in which they come", """
def beside(rows, name, other):
    a = [r["test"] for r in rows if r["strategy"] == name]
    b = [r["test"] for r in rows if r["strategy"] == other]
    d = np.array([x - y for x, y in zip(a, b)])
    half = t.ppf(0.975, len(d) - 1) * d.std(ddof=1) / len(d) ** 0.5
    return d.mean(), d.mean() - half, d.mean() + half
"""),
        ("sorted by their seeds and paired by place", """
def beside(rows, name, other):
    rows = sorted(rows, key=lambda r: r["seed"])
    a = np.array([r["test"] for r in rows if r["strategy"] == name])
    b = np.array([r["test"] for r in rows if r["strategy"] == other])
    n = min(len(a), len(b))
    d = a[:n] - b[:n]
    half = t.ppf(0.975, len(d) - 1) * d.std(ddof=1) / len(d) ** 0.5
    return d.mean(), d.mean() - half, d.mean() + half
"""),
        ("1.96 is for a standard deviation that one knows", """
def beside(rows, name, other):
    a = {r["seed"]: r["test"] for r in rows if r["strategy"] == name}
    b = {r["seed"]: r["test"] for r in rows if r["strategy"] == other}
    d = np.array([a[s] - b[s] for s in a if s in b])
    half = 1.959964 * d.std(ddof=1) / len(d) ** 0.5
    return d.mean(), d.mean() - half, d.mean() + half
"""),
        ("an interval of 90 %", """
def beside(rows, name, other):
    a = {r["seed"]: r["test"] for r in rows if r["strategy"] == name}
    b = {r["seed"]: r["test"] for r in rows if r["strategy"] == other}
    d = np.array([a[s] - b[s] for s in a if s in b])
    half = t.ppf(0.95, len(d) - 1) * d.std(ddof=1) / len(d) ** 0.5
    return d.mean(), d.mean() - half, d.mean() + half
"""),
        ("n degrees of freedom", """
def beside(rows, name, other):
    a = {r["seed"]: r["test"] for r in rows if r["strategy"] == name}
    b = {r["seed"]: r["test"] for r in rows if r["strategy"] == other}
    d = torch.tensor([a[s] - b[s] for s in a if s in b], dtype=torch.float64)
    half = t.ppf(0.975, len(d)) * d.std() / len(d) ** 0.5
    return d.mean(), d.mean() - half, d.mean() + half
"""),
        ("divides by n", """
def beside(rows, name, other):
    a = {r["seed"]: r["test"] for r in rows if r["strategy"] == name}
    b = {r["seed"]: r["test"] for r in rows if r["strategy"] == other}
    d = [a[s] - b[s] for s in a if s in b]
    half = t.ppf(0.975, len(d) - 1) * np.std(d) / np.sqrt(len(d))
    return np.mean(d), np.mean(d) - half, np.mean(d) + half
"""),
        ("the root of n is missing", """
def beside(rows, name, other):
    a = {r["seed"]: r["test"] for r in rows if r["strategy"] == name}
    b = {r["seed"]: r["test"] for r in rows if r["strategy"] == other}
    d = [a[s] - b[s] for s in a if s in b]
    half = t.ppf(0.975, len(d) - 1) * statistics.stdev(d)
    return np.mean(d), np.mean(d) - half, np.mean(d) + half
"""),
        ("`name` minus `other`", """
def beside(rows, name, other):
    a = {r["seed"]: r["test"] for r in rows if r["strategy"] == name}
    b = {r["seed"]: r["test"] for r in rows if r["strategy"] == other}
    d = [b[s] - a[s] for s in a if s in b]
    half = t.ppf(0.975, len(d) - 1) * statistics.stdev(d) / len(d) ** 0.5
    return np.mean(d), np.mean(d) - half, np.mean(d) + half
"""),
        ("`mean_interval` of the library is called", """
from ftcourse.strategies import mean_interval
def beside(rows, name, other):
    a = {r["seed"]: r["test"] for r in rows if r["strategy"] == name}
    b = {r["seed"]: r["test"] for r in rows if r["strategy"] == other}
    mean, (low, high) = mean_interval([a[s] - b[s] for s in a if s in b])
    return mean, low, high
"""),
    ],
    "strategies.5": [
        ("the last accuracy is compared", """
def lags(mine, others, least):
    then = [o[len(mine) - 1] for o in others if len(o) >= len(mine)]
    if len(then) < least:
        return False
    return mine[-1] < statistics.median(then)
"""),
        ("the others are taken at their end: in its first epochs", """
def lags(mine, others, least):
    then = [o[-1] for o in others if len(o) >= len(mine)]
    if len(then) < least:
        return False
    return bool(max(mine) < np.median(then))
"""),
        ("those too that trained for fewer epochs", """
def lags(mine, others, least):
    if len(others) < least:
        return False
    return bool(max(mine) < np.median([o[-1] for o in others]))
"""),
        ("the best of the others so far", """
def lags(mine, others, least):
    n = len(mine)
    then = [max(o[:n]) for o in others if len(o) >= n]
    return len(then) >= least and bool(max(mine) < np.median(then))
"""),
        ("this is the mean of the others", """
def lags(mine, others, least):
    n = len(mine)
    then = [o[n - 1] for o in others if len(o) >= n]
    return len(then) >= least and max(mine) < sum(then) / len(then)
"""),
        ("the lower one in the middle", """
def lags(mine, others, least):
    n = len(mine)
    then = [o[n - 1] for o in others if len(o) >= n]
    if len(then) < least: return False
    return max(mine) < torch.tensor(then, dtype=torch.float64).median().item()
"""),
        ("the upper one in the middle", """
def lags(mine, others, least):
    n = len(mine)
    then = sorted(o[n - 1] for o in others if len(o) >= n)
    if len(then) < least: return False
    return max(mine) < then[len(then) // 2]
"""),
        ("that equals the median is cut short", """
def lags(mine, others, least):
    n = len(mine)
    then = [o[n - 1] for o in others if len(o) >= n]
    if len(then) < least: return False
    return not max(mine) > statistics.median(then)
"""),
        ("`least` has no effect", """
def lags(mine, others, least):
    n = len(mine)
    then = [o[n - 1] for o in others if len(o) >= n]
    return bool(then) and max(mine) < statistics.median(then)
"""),
        ("all finished trials are counted for `least`", """
def lags(mine, others, least):
    n = len(mine)
    then = [o[n - 1] for o in others if len(o) >= n]
    if len(others) < least or not then: return False
    return max(mine) < statistics.median(then)
"""),
        ("exactly `least` trials", """
def lags(mine, others, least):
    n = len(mine)
    then = [o[n - 1] for o in others if len(o) >= n]
    return len(then) > least and max(mine) < statistics.median(then)
"""),
        ("one epoch too late", """
def lags(mine, others, least):
    epoch = len(mine)
    then = [o[epoch] for o in others if len(o) > epoch]
    return len(then) >= least and max(mine) < statistics.median(then)
"""),
        ("trials that ended before are compared", """
def lags(mine, others, least):
    then = [o[min(len(mine), len(o)) - 1] for o in others]
    return len(then) >= least and max(mine) < statistics.median(then)
"""),
        ("True and False are exchanged", """
def lags(mine, others, least):
    then = [o[len(mine) - 1] for o in others if len(o) >= len(mine)]
    if len(then) < least: return True
    return max(mine) >= statistics.median(then)
"""),
        ("are cut short that should go on", """
def lags(mine, others, least):
    return True
"""),
        ("your code stops with IndexError", """
def lags(mine, others, least):
    then = [o[len(mine) - 1] for o in others]
    return len(then) >= least and max(mine) < statistics.median(then)
"""),
    ],
}
