"""Wrong answers as people write them, each with a part of the sentence that should name the mistake."""

NAMES = """
def name_of(train, valid):
    if train[-1] != train[-1] or train[-1] > train[0]: return "diverged"
    if train[-1] > 0.5 * train[0]: return "under-fitting"
    if valid[-1] > 1.1 * min(valid): return "over-fitting"
    return "healthy"
"""

WRONG = {
    "cifar.1": [
        ("counted from 0", NAMES + """
def read(train, valid, patience):
    best = 0
    for i in range(len(valid)):
        if valid[i] < valid[best]: best = i
        if i - best >= patience: break
    return {"stopped": i, "kept": best, "name": name_of(train[:i + 1], valid[:i + 1])}
"""),
        ("those of the last epoch", NAMES + """
def read(train, valid, patience):
    best = 0
    for i in range(len(valid)):
        if valid[i] < valid[best]: best = i
        if i - best >= patience: break
    return {"stopped": i + 1, "kept": i + 1, "name": name_of(train[:i + 1], valid[:i + 1])}
"""),
        ("looks into the future", NAMES + """
def read(train, valid, patience):
    best = 0
    for i in range(len(valid)):
        if valid[i] < valid[best]: best = i
        if i - best >= patience: break
    return {"stopped": i + 1, "kept": valid.index(min(valid)) + 1, "name": name_of(train[:i + 1], valid[:i + 1])}
"""),
        ("the name is taken from the whole lists", NAMES + """
def read(train, valid, patience):
    best = 0
    for i in range(len(valid)):
        if valid[i] < valid[best]: best = i
        if i - best >= patience: break
    return {"stopped": i + 1, "kept": best + 1, "name": name_of(train, valid)}
"""),
        ("one epoch too late", NAMES + """
def read(train, valid, patience):
    best = 0
    for i in range(len(valid)):
        if valid[i] < valid[best]: best = i
        if i - best > patience: break
    return {"stopped": i + 1, "kept": best + 1, "name": name_of(train[:i + 1], valid[:i + 1])}
"""),
        ("at the first rise", NAMES + """
def read(train, valid, patience):
    n = 1
    while n < len(valid) and valid[n] < valid[n - 1]: n += 1
    n = min(n + 1, len(valid))
    return {"stopped": n, "kept": valid.index(min(valid[:n])) + 1, "name": name_of(train[:n], valid[:n])}
"""),
        ("compared with the one before it", NAMES + """
def read(train, valid, patience):
    bad, n = 0, 1
    for previous, loss in zip(valid, valid[1:]):
        n += 1
        bad = 0 if loss < previous else bad + 1
        if bad == patience: break
    return {"stopped": n, "kept": valid.index(min(valid[:n])) + 1, "name": name_of(train[:n], valid[:n])}
"""),
        ("added up over the whole run", NAMES + """
def read(train, valid, patience):
    bad, best, kept = 0, float("inf"), 0
    for n, loss in enumerate(valid, 1):
        if loss < best: best, kept = loss, n
        else: bad += 1
        if bad == patience: break
    return {"stopped": n, "kept": kept, "name": name_of(train[:n], valid[:n])}
"""),
        ("NaN was taken for the lowest", NAMES + """
def read(train, valid, patience):
    best = 0
    for i in range(len(valid)):
        if valid[i] < valid[best]: best = i
        if i - best >= patience: break
    kept = int(torch.tensor(valid[:i + 1]).argmin()) + 1
    return {"stopped": i + 1, "kept": kept, "name": name_of(train[:i + 1], valid[:i + 1])}
"""),
        ("the training loss decides when to stop", NAMES + """
def read(train, valid, patience):
    best = 0
    for i in range(len(train)):
        if train[i] < train[best]: best = i
        if i - best >= patience: break
    kept = valid.index(min(valid[:i + 1])) + 1
    return {"stopped": i + 1, "kept": kept, "name": name_of(train[:i + 1], valid[:i + 1])}
"""),
        ("NaN slips through", """
def read(train, valid, patience):
    best = 0
    for i in range(len(valid)):
        if valid[i] < valid[best]: best = i
        if i - best >= patience: break
    if train[i] > train[0]: name = "diverged"
    elif train[i] > train[0] / 2: name = "under-fitting"
    elif valid[i] > 1.1 * valid[best]: name = "over-fitting"
    else: name = "healthy"
    return {"stopped": i + 1, "kept": best + 1, "name": name}
"""),
    ],
    "cifar.2": [
        ("are right, because these weights are for standardised features", """
def linear_probe(x, y):
    z = (x - x.mean(0)) / x.std(0)
    layer = nn.Linear(200, 5)
    optimizer = torch.optim.AdamW(layer.parameters(), lr=0.01, weight_decay=0.1)
    for _ in range(150):
        optimizer.zero_grad()
        F.cross_entropy(layer(z), y).backward()
        optimizer.step()
    return layer.weight, layer.bias
"""),
        ("learned by heart", """
def linear_probe(x, y):
    mean, std = x.mean(0), x.std(0)
    z, t = (x - mean) / std, F.one_hot(y, 5).float()
    w = torch.linalg.solve(z.T @ z + torch.eye(200), z.T @ t).T / std
    return w, t.mean(0) - w @ mean
"""),
        ("least squares without a penalty", """
def linear_probe(x, y):
    z = torch.cat([(x - x.mean(0)) / x.std(0), torch.ones(len(x), 1)], 1)
    w = torch.linalg.lstsq(z.double(), F.one_hot(y, 5).double()).solution.T.float()
    weight = w[:, :200] / x.std(0)
    return weight, w[:, 200] - weight @ x.mean(0)
"""),
        ("The weights are good and the bias is not", """
def linear_probe(x, y):
    mean, std = x.mean(0), x.std(0)
    z = (x - mean) / std
    layer = nn.Linear(200, 5)
    optimizer = torch.optim.AdamW(layer.parameters(), lr=0.01, weight_decay=0.1)
    for _ in range(150):
        optimizer.zero_grad()
        F.cross_entropy(layer(z), y).backward()
        optimizer.step()
    return layer.weight / std, layer.bias
"""),
        ("it has learned too little", """
def linear_probe(x, y):
    torch.manual_seed(0)
    layer = nn.Linear(200, 5)
    optimizer = torch.optim.SGD(layer.parameters(), lr=1e-5)
    for _ in range(300):
        optimizer.zero_grad()
        F.cross_entropy(layer(x), y).backward()
        optimizer.step()
    return layer.weight, layer.bias
"""),
        ("nearest mean of the raw features", """
def linear_probe(x, y):
    weight = torch.zeros(5, 200)
    bias = torch.zeros(5)
    for k in range(5):
        weight[k] = x[y == k].mean(0)
        bias[k] = -0.5 * weight[k] @ weight[k]
    return weight, bias
"""),
        ("the weight is 200 x 5", """
def linear_probe(x, y):
    z, t = (x - x.mean(0)) / x.std(0), F.one_hot(y, 5).float()
    w = torch.linalg.solve(z.T @ z + 300 * torch.eye(200), z.T @ t) / x.std(0)[:, None]
    return w, t.mean(0) - x.mean(0) @ w
"""),
        ("no pair of tensors", """
def linear_probe(x, y):
    z, t = (x - x.mean(0)) / x.std(0), F.one_hot(y, 5).float()
    return torch.linalg.solve(z.T @ z + 300 * torch.eye(200), z.T @ t).T / x.std(0)
"""),
        ("NaN or infinity", """
def linear_probe(x, y):
    layer = nn.Linear(200, 5)
    for _ in range(200):
        layer.zero_grad()
        (layer(x) - F.one_hot(y, 5)).square().mean().backward()
        for p in layer.parameters(): p.data -= 0.5 * p.grad
    return layer.weight, layer.bias
"""),
    ],
    "cifar.3": [
        ("It is not the only bug", """
def two_views(model, images):
    n = len(images)
    logits = model(torch.cat([images, torch.flip(images, [3])]))
    return F.softmax(logits.reshape(n, 2, -1).sum(1) / 2, dim=1)
"""),
        ("And look at the model's mode", """
def two_views(model, images):
    p = model(torch.cat([images, images.flip(3)])).softmax(1)
    return (p[0::2] + p[1::2]) / 2
"""),
        ("takes neighbouring rows for a pair", """
def two_views(model, images):
    mode = model.training
    model.eval()
    p = model(torch.cat([images, images.flip(3)])).softmax(1)
    model.train(mode)
    return (p[0::2] + p[1::2]) / 2
"""),
        ("the pairs are right. What is averaged are logits", """
def two_views(model, images):
    return ((model(images) + model(images.flip(3))) / 2).softmax(1)
"""),
        ("what is averaged are logits: softmax comes first, then the mean", """
def two_views(model, images):
    mode = model.training
    model.eval()
    out = torch.stack([model(images), model(images.flip(-1))]).mean(0).softmax(-1)
    model.train(mode)
    return out
"""),
        ("ran in the mode that it came with", """
def two_views(model, images):
    return (model(images).softmax(1) + model(images.flip(3)).softmax(1)) / 2
"""),
        ("leaves the model in evaluation mode", """
def two_views(model, images):
    model.eval()
    with torch.no_grad():
        return (model(images).softmax(1) + model(images.flip(3)).softmax(1)) / 2
"""),
        ("stands on its head", """
def two_views(model, images):
    mode = model.training
    model.eval()
    out = (model(images).softmax(1) + model(images.flip(2)).softmax(1)) / 2
    model.train(mode)
    return out
"""),
        ("the rows add up to 2", """
def two_views(model, images):
    mode = model.training
    model.eval()
    out = model(images).softmax(1) + model(images.flip(3)).softmax(1)
    model.train(mode)
    return out
"""),
        ("these are votes", """
def two_views(model, images):
    mode = model.training
    model.eval()
    logits = torch.stack([model(images), model(images.flip(3))])
    model.train(mode)
    return F.one_hot(logits.argmax(2), logits.shape[2]).float().mean(0)
"""),
    ],
    "cifar.4": [
        ("chosen by the test split", """
def gain(valid, test):
    accuracy = [row.float().mean().item() for row in test]
    chosen = accuracy.index(max(accuracy))
    d = (test[chosen] - test[0]).float()
    g, se = d.mean().item(), d.std().item() / len(d) ** 0.5
    return {"chosen": chosen, "gain": g, "low": g - 1.96 * se, "high": g + 1.96 * se}
"""),
        ("that on the validation split", """
def gain(valid, test):
    accuracy = [row.float().mean().item() for row in valid]
    chosen = accuracy.index(max(accuracy))
    d = (valid[chosen] - valid[0]).float()
    g, se = d.mean().item(), d.std().item() / len(d) ** 0.5
    return {"chosen": chosen, "gain": g, "low": g - 1.96 * se, "high": g + 1.96 * se}
"""),
        ("two separate tests", """
def gain(valid, test):
    chosen = int(valid.sum(1).argmax())
    a, b = test[0].float(), test[chosen].float()
    se = (a.var() / len(a) + b.var() / len(b)).sqrt().item()
    g = (b.mean() - a.mean()).item()
    return {"chosen": chosen, "gain": g, "low": g - 1.96 * se, "high": g + 1.96 * se}
"""),
        ("the standard deviation of one image", """
def gain(valid, test):
    chosen = int(valid.sum(1).argmax())
    d = (test[chosen] - test[0]).double()
    g, s = d.mean().item(), d.std().item()
    return {"chosen": chosen, "gain": g, "low": g - 1.96 * s, "high": g + 1.96 * s}
"""),
        ("one standard error to each side", """
def gain(valid, test):
    chosen = int(valid.sum(1).argmax())
    d = (test[chosen] - test[0]).float()
    g, s = d.mean().item(), d.std().item() / math.sqrt(len(d))
    return {"chosen": chosen, "gain": g, "low": g - s, "high": g + s}
"""),
        ("the sign is wrong", """
def gain(valid, test):
    chosen = int(valid.sum(1).argmax())
    d = (test[0] - test[chosen]).float()
    g, s = d.mean().item(), d.std().item() / math.sqrt(len(d))
    return {"chosen": chosen, "gain": g, "low": g - 1.96 * s, "high": g + 1.96 * s}
"""),
        ("the chosen recipe's accuracy alone", """
def gain(valid, test):
    chosen = int(valid.sum(1).argmax())
    b = test[chosen].double()
    g = b.mean().item() - test[0].double().mean().item()
    s = math.sqrt(b.mean().item() * (1 - b.mean().item()) / len(b))
    return {"chosen": chosen, "gain": g, "low": g - 1.96 * s, "high": g + 1.96 * s}
"""),
        ("`wilson` of the library is called", """
from ftcourse.evaluation import wilson
def gain(valid, test):
    chosen = int(valid.sum(1).argmax())
    low, high = wilson(int(test[chosen].sum()), test.shape[1])
    return {"chosen": chosen, "gain": 0.0, "low": low, "high": high}
"""),
    ],
    "cifar.5": [
        ("a multiply-add is one", """
from torch.utils.flop_counter import FlopCounterMode
def price(model, size):
    with FlopCounterMode(display=False) as counter, torch.no_grad(): model(torch.zeros(1, 3, size, size))
    return counter.get_total_flops()
"""),
        ("`groups` are left out", """
def price(model, size):
    total = 0
    def hook(m, x, y):
        nonlocal total
        if isinstance(m, nn.Linear): total += m.in_features * m.out_features
        else: total += m.in_channels * m.kernel_size[0] * m.kernel_size[1] * y.numel()
    handles = [m.register_forward_hook(hook) for m in model.modules() if isinstance(m, (nn.Conv2d, nn.Linear))]
    model(torch.zeros(1, 3, size, size))
    for h in handles: h.remove()
    return total
"""),
        ("input's height and width", """
def price(model, size):
    total = 0
    def hook(m, x, y):
        nonlocal total
        total += m.weight.numel() * (1 if isinstance(m, nn.Linear) else x[0].shape[-1] * x[0].shape[-2])
    handles = [m.register_forward_hook(hook) for m in model.modules() if isinstance(m, (nn.Conv2d, nn.Linear))]
    model(torch.zeros(1, 3, size, size))
    for h in handles: h.remove()
    return total
"""),
        ("at the size of the image", """
def price(model, size):
    total = 0
    for m in model.modules():
        if isinstance(m, nn.Conv2d): total += m.weight.numel() * size ** 2
        if isinstance(m, nn.Linear): total += m.weight.numel()
    return total
"""),
        ("these are parameters: ", """
def price(model, size):
    return sum(p.numel() for m in model.modules() if isinstance(m, (nn.Conv2d, nn.Linear)) for p in [m.weight])
"""),
        ("these are all parameters", """
def price(model, size):
    return sum(p.numel() for p in model.parameters())
"""),
        ("the linear layer of the head is not counted", """
def price(model, size):
    x, total = torch.zeros(1, 3, size, size), 0
    for layer in model[0]:
        x = layer(x)
        if isinstance(layer, nn.Conv2d): total += x.numel() * layer.weight.numel() // layer.out_channels
    return total
"""),
        ("the biases are counted", """
def price(model, size):
    costs = []
    def hook(m, x, y): costs.append(y.numel() * (m.weight[0].numel() + (m.bias is not None)))
    handles = [m.register_forward_hook(hook) for m in model.modules() if isinstance(m, (nn.Conv2d, nn.Linear))]
    model(torch.zeros(1, 3, size, size))
    for h in handles: h.remove()
    return sum(costs)
"""),
        ("the kernel is taken for square", """
def price(model, size):
    costs = []
    def hook(m, x, y):
        if isinstance(m, nn.Linear): costs.append(m.in_features * m.out_features)
        else: costs.append(y.numel() * m.in_channels // m.groups * m.kernel_size[0] ** 2)
    handles = [m.register_forward_hook(hook) for m in model.modules() if isinstance(m, (nn.Conv2d, nn.Linear))]
    model(torch.zeros(1, 3, size, size))
    for h in handles: h.remove()
    return sum(costs)
"""),
        ("your hooks are still in the model", """
def price(model, size):
    costs = []
    def hook(m, x, y): costs.append(y.numel() * m.weight[0].numel())
    for m in model.modules():
        if isinstance(m, (nn.Conv2d, nn.Linear)): m.register_forward_hook(hook)
    model(torch.zeros(1, 3, size, size))
    return sum(costs)
"""),
    ],
}
