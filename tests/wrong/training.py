"""Wrong answers as people write them, each with a part of the sentence that should name the mistake."""

WRONG = {
    "training.1": [
        ("there is no warm-up", """
def share(step, steps, warmup):
    return 0.5 * (1 + math.cos(math.pi * step / steps))
"""),
        ("step 0 has the rate 0", """
def share(step, steps, warmup):
    if warmup and step < warmup:
        return step / warmup
    return 0.5 + 0.5 * math.cos(math.pi * (step - warmup) / (steps - warmup))
"""),
        ("the peak comes one step too soon", """
def share(step, steps, warmup):
    if step < warmup:
        return (step + 1) / warmup
    return 0.5 + 0.5 * math.cos(math.pi * (step - warmup) / (steps - warmup))
"""),
        ("jumps down where the warm-up ends", """
def share(step, steps, warmup):
    down = 0.5 + 0.5 * math.cos(math.pi * step / steps)
    up = (step + 1) / (warmup + 1)
    return up if step < warmup else down
"""),
        ("does not come down to 0 in time", """
def share(step, steps, warmup):
    if step < warmup:
        return (step + 1) / (warmup + 1)
    return 0.5 + 0.5 * math.cos(math.pi * (step - warmup) / steps)
"""),
        ("the last step has the rate 0", """
def share(step, steps, warmup):
    if step < warmup:
        return (step + 1) / (warmup + 1)
    return 0.5 + 0.5 * math.cos(math.pi * (step - warmup) / (steps - 1 - warmup))
"""),
        ("in a straight line", """
def share(step, steps, warmup):
    if step < warmup:
        return (step + 1) / (warmup + 1)
    return (steps - step) / (steps - warmup)
"""),
        ("a quarter of a wave", """
def share(step, steps, warmup):
    if step < warmup:
        return (step + 1) / (warmup + 1)
    return math.cos((step - warmup) / (steps - warmup) * math.pi / 2)
"""),
        ("are multiplied", """
def share(step, steps, warmup):
    value = 0.5 + 0.5 * math.cos(math.pi * step / steps)
    if step < warmup: value *= (step + 1) / (warmup + 1)
    return value
"""),
        ("`lr_factor` of the library is called", """
from ftcourse.training import lr_factor
def share(step, steps, warmup):
    return lr_factor(step, steps, warmup / steps)
"""),
    ],
    "training.2": [
        ("the losses are not smoothed", """
def read_curve(lrs, losses):
    lowest = int(np.argmin(losses))
    return losses, lrs[int(np.gradient(losses)[:lowest + 1].argmin())]
"""),
        ("nothing makes up for it", """
def read_curve(lrs, losses):
    smooth, m = [], 0
    for loss in losses:
        m = 0.95 * m + 0.05 * loss
        smooth.append(m)
    k = int(np.argmin(smooth))
    return smooth, lrs[int(np.argmin(np.gradient(smooth)[:k + 1]))]
"""),
        ("begins with the first loss", """
def read_curve(lrs, losses):
    smooth, m = [], losses[0]
    for loss in losses:
        m += 0.05 * (loss - m)
        smooth.append(m)
    k = int(np.argmin(smooth))
    return smooth, lrs[int(np.argmin(np.gradient(smooth)[:k + 1]))]
"""),
        ("the two weights are exchanged", """
def read_curve(lrs, losses):
    smooth, m = [], 0
    for i, loss in enumerate(losses):
        m = 0.05 * m + 0.95 * loss
        smooth.append(m / (1 - 0.05 ** (i + 1)))
    k = int(np.argmin(smooth))
    return smooth, lrs[int(np.argmin(np.gradient(smooth)[:k + 1]))]
"""),
        ("the rate is that of the lowest loss", """
def read_curve(lrs, losses):
    smooth, m = [], 0
    for i, loss in enumerate(losses, 1):
        m = 0.95 * m + 0.05 * loss
        smooth.append(m / (1 - 0.95 ** i))
    return smooth, lrs[smooth.index(min(smooth))]
"""),
        ("a rule of thumb", """
def read_curve(lrs, losses):
    smooth, m = [], 0
    for i, loss in enumerate(losses, 1):
        m = 0.95 * m + 0.05 * loss
        smooth.append(m / (1 - 0.95 ** i))
    return smooth, lrs[smooth.index(min(smooth))] / 10
"""),
        ("behind the lowest point", """
def read_curve(lrs, losses):
    smooth, m = [], 0
    for i, loss in enumerate(losses, 1):
        m = 0.95 * m + 0.05 * loss
        smooth.append(m / (1 - 0.95 ** i))
    return smooth, lrs[np.gradient(np.array(smooth)).argmin()]
"""),
        ("this is the number of the step", """
def read_curve(lrs, losses):
    smooth, m = [], 0
    for i, loss in enumerate(losses, 1):
        m = 0.95 * m + 0.05 * loss
        smooth.append(m / (1 - 0.95 ** i))
    k = int(np.argmin(smooth))
    return smooth, np.argmin(np.gradient(smooth)[:k + 1])
"""),
        ("against the rate itself", """
def read_curve(lrs, losses):
    smooth, m = [], 0
    for i, loss in enumerate(losses, 1):
        m = 0.95 * m + 0.05 * loss
        smooth.append(m / (1 - 0.95 ** i))
    slopes = np.gradient(np.array(smooth), np.array(lrs))
    return smooth, lrs[int(np.argmin(slopes[:int(np.argmin(smooth)) + 1]))]
"""),
    ],
    "training.3": [
        ("dividing by the number of pieces", """
def accumulate(model, optimizer, x, y, micro):
    pieces = math.ceil(len(x) / micro)
    optimizer.zero_grad()
    for i in range(pieces):
        part = slice(i * micro, (i + 1) * micro)
        loss = F.cross_entropy(model(x[part]), y[part]) / pieces
        loss.backward()
    optimizer.step()
"""),
        ("divided by nothing", """
def accumulate(model, optimizer, x, y, micro):
    optimizer.zero_grad()
    for i in range(0, len(x), micro):
        F.cross_entropy(model(x[i:i + micro]), y[i:i + micro]).backward()
    optimizer.step()
"""),
        ("the optimizer steps after each piece: these are small batches", """
def accumulate(model, optimizer, x, y, micro):
    for i in range(0, len(x), micro):
        optimizer.zero_grad()
        loss = F.cross_entropy(model(x[i:i + micro]), y[i:i + micro])
        loss.backward()
        optimizer.step()
"""),
        ("with its share of the gradient", """
def accumulate(model, optimizer, x, y, micro):
    for i in range(0, len(x), micro):
        optimizer.zero_grad()
        part = x[i:i + micro]
        loss = F.cross_entropy(model(part), y[i:i + micro]) * len(part) / len(x)
        loss.backward()
        optimizer.step()
"""),
        ("the gradients of the first batch are still there", """
def accumulate(model, optimizer, x, y, micro):
    for i in range(0, len(x), micro):
        part = x[i:i + micro]
        loss = F.cross_entropy(model(part), y[i:i + micro]) * len(part) / len(x)
        loss.backward()
    optimizer.step()
"""),
        ("only the last piece takes part", """
def accumulate(model, optimizer, x, y, micro):
    for i in range(0, len(x), micro):
        optimizer.zero_grad()
        part = x[i:i + micro]
        loss = F.cross_entropy(model(part), y[i:i + micro]) * len(part) / len(x)
        loss.backward()
    optimizer.step()
"""),
        ("the weights did not move", """
def accumulate(model, optimizer, x, y, micro):
    for i in range(0, len(x), micro):
        part = x[i:i + micro]
        loss = F.cross_entropy(model(part), y[i:i + micro]) * len(part) / len(x)
        loss.backward()
    optimizer.zero_grad()
    optimizer.step()
"""),
        ("smaller piece is left out", """
def accumulate(model, optimizer, x, y, micro):
    optimizer.zero_grad()
    for k in range(len(x) // micro):
        part = slice(k * micro, (k + 1) * micro)
        loss = F.cross_entropy(model(x[part]), y[part], reduction="sum") / len(x)
        loss.backward()
    optimizer.step()
"""),
        ("the gradient of the *sum*", """
def accumulate(model, optimizer, x, y, micro):
    optimizer.zero_grad()
    for a, b in zip(x.split(micro), y.split(micro)):
        F.cross_entropy(model(a), b, reduction="sum").backward()
    optimizer.step()
"""),
        ("goes through the model at once", """
def accumulate(model, optimizer, x, y, micro):
    optimizer.zero_grad()
    logits = model(x)
    total = sum(F.cross_entropy(a, b, reduction="sum") for a, b in zip(logits.split(micro), y.split(micro)))
    (total / len(x)).backward()
    optimizer.step()
"""),
        ("the graphs of all pieces are held", """
def accumulate(model, optimizer, x, y, micro):
    optimizer.zero_grad()
    total = 0
    for a, b in zip(x.split(micro), y.split(micro)):
        total = total + F.cross_entropy(model(a), b, reduction="sum")
    (total / len(x)).backward()
    optimizer.step()
"""),
    ],
    "training.4": [
        ("all three are still there", """
def epoch(model, batches, optimizer, limit):
    optimizer.zero_grad()
    for x, y in batches:
        F.cross_entropy(model(x), y).backward()
        for p in model.parameters():
            torch.nn.utils.clip_grad_norm_([p], max_norm=limit)
        optimizer.step()
"""),
        ("two are left. One is the mode", """
def epoch(model, batches, optimizer, limit):
    for x, y in batches:
        model.zero_grad()
        F.cross_entropy(model(x), y).backward()
        for p in model.parameters():
            nn.utils.clip_grad_norm_(p, limit)
        optimizer.step()
"""),
        ("two are left. One: the gradients add up", """
def epoch(model, batches, optimizer, limit):
    for x, y in batches:
        model.train()
        F.cross_entropy(model(x), y).backward()
        for p in model.parameters():
            nn.utils.clip_grad_norm_(p, limit)
        optimizer.step()
"""),
        ("the clipping is right now", """
def epoch(model, batches, optimizer, limit):
    for x, y in batches:
        F.cross_entropy(model(x), y).backward()
        nn.utils.clip_grad_norm_(list(model.parameters()), limit)
        optimizer.step()
"""),
        ("every tensor is clipped by itself", """
def epoch(model, batches, optimizer, limit):
    model.train()
    for x, y in batches:
        F.cross_entropy(model(x), y).backward()
        for p in model.parameters():
            p.grad *= min(1.0, limit / (p.grad.norm().item() + 1e-9))
        optimizer.step()
        optimizer.zero_grad()
"""),
        ("one is left: the model learns in evaluation mode", """
def epoch(model, batches, optimizer, limit):
    for x, y in batches:
        F.cross_entropy(model(x), y).backward()
        nn.utils.clip_grad_norm_(model.parameters(), limit)
        optimizer.step()
        optimizer.zero_grad()
"""),
        ("one is left: the gradients of earlier batches", """
def epoch(model, batches, optimizer, limit):
    model.train()
    optimizer.zero_grad()
    for x, y in batches:
        F.cross_entropy(model(x), y).backward()
        nn.utils.clip_grad_norm_(model.parameters(), limit)
        optimizer.step()
"""),
        ("the gradients are gone when `step()` comes", """
def epoch(model, batches, optimizer, limit):
    model.train()
    for x, y in batches:
        F.cross_entropy(model(x), y).backward()
        nn.utils.clip_grad_norm_(model.parameters(), limit)
        optimizer.zero_grad()
        optimizer.step()
"""),
        ("is not clipped when `step()` uses it", """
def epoch(model, batches, optimizer, limit):
    model.train()
    for x, y in batches:
        optimizer.zero_grad()
        F.cross_entropy(model(x), y).backward()
        optimizer.step()
        nn.utils.clip_grad_norm_(model.parameters(), limit)
"""),
        ("cut off at `limit`", """
def epoch(model, batches, optimizer, limit):
    model.train()
    for x, y in batches:
        optimizer.zero_grad()
        F.cross_entropy(model(x), y).backward()
        for p in model.parameters(): p.grad.clamp_(-limit, limit)
        optimizer.step()
"""),
        ("are scaled *up* to it", """
def epoch(model, batches, optimizer, limit):
    model.train()
    for x, y in batches:
        optimizer.zero_grad()
        F.cross_entropy(model(x), y).backward()
        norm = torch.cat([p.grad.flatten() for p in model.parameters()]).norm()
        for p in model.parameters(): p.grad.mul_(limit / norm)
        optimizer.step()
"""),
    ],
    "training.5": [
        ("0 is the lowest without smoothing", """
def lowest_loss(classes, smoothing):
    return 0.0
"""),
        ("spread over the *other* classes only", """
def lowest_loss(classes, smoothing):
    target = [1 - smoothing] + [smoothing / (classes - 1)] * (classes - 1)
    return -sum(t * math.log(t) for t in target)
"""),
        ("only the label's term", """
def lowest_loss(classes, smoothing):
    p = 1 - smoothing * (classes - 1) / classes
    return -p * math.log(p)
"""),
        ("against the label alone", """
def lowest_loss(classes, smoothing):
    return -math.log(1 - smoothing * (classes - 1) / classes)
"""),
        ("the loss of one probability", """
def lowest_loss(classes, smoothing):
    return -math.log(1 - smoothing)
"""),
        ("counted once", """
def lowest_loss(classes, smoothing):
    a = 1 - smoothing + smoothing / classes
    b = smoothing / classes
    return -(a * math.log(a) + b * math.log(b))
"""),
        ("is missing: the target does not add up to 1", """
def lowest_loss(classes, smoothing):
    a, b = 1 - smoothing, smoothing / classes
    return -(a * math.log(a) + (classes - 1) * b * math.log(b))
"""),
        ("in bits", """
def lowest_loss(classes, smoothing):
    target = torch.full((classes,), smoothing / classes)
    target[0] += 1 - smoothing
    return -(target * target.log2()).sum()
"""),
        ("knows nothing", """
def lowest_loss(classes, smoothing):
    logits = torch.zeros(1, classes)
    return F.cross_entropy(logits, torch.tensor([0]), label_smoothing=smoothing)
"""),
    ],
    "training.6": [
        ("hands out the very tensors", """
def fit(model, train_epoch, validate, epochs, patience):
    best, best_epoch = 0, 0
    for epoch in range(epochs):
        train_epoch(model)
        accuracy = validate(model)
        if accuracy > best:
            best, best_epoch, weights = accuracy, epoch, dict(model.state_dict())
        elif epoch - best_epoch >= patience:
            break
    model.load_state_dict(weights)
"""),
        ("hands out the very tensors", """
def fit(model, train_epoch, validate, epochs, patience):
    best, best_epoch = 0, 0
    for epoch in range(epochs):
        train_epoch(model)
        accuracy = validate(model)
        if accuracy > best:
            best, best_epoch, best_model = accuracy, epoch, copy.deepcopy(model)
        elif epoch - best_epoch >= patience:
            break
    return best_model
"""),
        ("those of the last: buffers belong to it", """
def fit(model, train_epoch, validate, epochs, patience):
    best, best_epoch = 0, 0
    for epoch in range(epochs):
        train_epoch(model)
        accuracy = validate(model)
        if accuracy > best:
            best, best_epoch = accuracy, epoch
            weights = [p.detach().clone() for p in model.parameters()]
        elif epoch - best_epoch >= patience:
            break
    with torch.no_grad():
        for p, w in zip(model.parameters(), weights):
            p.copy_(w)
"""),
        ("only as good as the best", """
def fit(model, train_epoch, validate, epochs, patience):
    best, best_epoch = 0, 0
    for epoch in range(epochs):
        train_epoch(model)
        accuracy = validate(model)
        if accuracy >= best:
            best, best_epoch, weights = accuracy, epoch, copy.deepcopy(model.state_dict())
        elif epoch - best_epoch >= patience:
            break
    model.load_state_dict(weights)
"""),
        ("only where patience ran out", """
def fit(model, train_epoch, validate, epochs, patience):
    best, best_epoch = 0, 0
    for epoch in range(epochs):
        train_epoch(model)
        accuracy = validate(model)
        if accuracy > best:
            best, best_epoch, weights = accuracy, epoch, copy.deepcopy(model.state_dict())
        elif epoch - best_epoch >= patience:
            model.load_state_dict(weights)
            return
"""),
        ("one epoch too late", """
def fit(model, train_epoch, validate, epochs, patience):
    best, best_epoch = 0, 0
    for epoch in range(epochs):
        train_epoch(model)
        accuracy = validate(model)
        if accuracy > best:
            best, best_epoch, weights = accuracy, epoch, copy.deepcopy(model.state_dict())
        elif epoch - best_epoch > patience:
            break
    model.load_state_dict(weights)
"""),
        ("over the whole training", """
def fit(model, train_epoch, validate, epochs, patience):
    best, bad = 0, 0
    for epoch in range(epochs):
        train_epoch(model)
        accuracy = validate(model)
        if accuracy > best:
            best, weights = accuracy, copy.deepcopy(model.state_dict())
        else:
            bad += 1
        if bad == patience: break
    model.load_state_dict(weights)
"""),
        ("compared with the one before it", """
def fit(model, train_epoch, validate, epochs, patience):
    previous, bad = 0, 0
    for epoch in range(epochs):
        train_epoch(model)
        accuracy = validate(model)
        if accuracy > previous:
            bad, weights = 0, copy.deepcopy(model.state_dict())
        else:
            bad += 1
        previous = accuracy
        if bad == patience: break
    model.load_state_dict(weights)
"""),
        ("the *lowest* number", """
def fit(model, train_epoch, validate, epochs, patience):
    best, best_epoch = float("inf"), 0
    for epoch in range(epochs):
        train_epoch(model)
        value = validate(model)
        if value < best:
            best, best_epoch, weights = value, epoch, copy.deepcopy(model.state_dict())
        elif epoch - best_epoch >= patience:
            break
    model.load_state_dict(weights)
"""),
        ("it never stops early", """
def fit(model, train_epoch, validate, epochs, patience):
    best = 0
    for epoch in range(epochs):
        train_epoch(model)
        accuracy = validate(model)
        if accuracy > best:
            best, weights = accuracy, copy.deepcopy(model.state_dict())
    model.load_state_dict(weights)
"""),
    ],
    "training.7": [
        ("both bugs are still there", """
def train_head(body, head, images, labels, orders, lr, size):
    with torch.inference_mode():
        features = torch.cat([body(part) for part in images.split(size)])
    features = features.clone()
    optimizer = torch.optim.SGD(head.parameters(), lr=lr)
    for order in orders:
        labels_now = labels[order]
        for i in range(0, len(images), size):
            optimizer.zero_grad()
            F.cross_entropy(head(features[i:i + size]), labels_now[i:i + size]).backward()
            optimizer.step()
"""),
        ("the rows are right now, and the body is still in training mode", """
def train_head(body, head, images, labels, orders, lr, size):
    features = torch.cat([body(images[i:i + size]) for i in range(0, len(images), size)]).detach()
    optimizer = torch.optim.SGD(head.parameters(), lr=lr)
    for order in orders:
        for i in range(0, len(order), size):
            rows = order[i:i + size]
            optimizer.zero_grad()
            F.cross_entropy(head(features[rows]), labels[rows]).backward()
            optimizer.step()
"""),
        ("with all images as one batch", """
def train_head(body, head, images, labels, orders, lr, size):
    features = body(images).detach()
    optimizer = torch.optim.SGD(head.parameters(), lr=lr)
    for order in orders:
        for rows in order.split(size):
            optimizer.zero_grad()
            F.cross_entropy(head(features[rows]), labels[rows]).backward()
            optimizer.step()
"""),
        ("the labels are shuffled and the features are not", """
def train_head(body, head, images, labels, orders, lr, size):
    with torch.no_grad():
        features = body.eval()(images)
    optimizer = torch.optim.SGD(head.parameters(), lr=lr)
    for order in orders:
        for part, rows in zip(features.split(size), order.split(size)):
            optimizer.zero_grad()
            F.cross_entropy(head(part), labels[rows]).backward()
            optimizer.step()
"""),
        ("the features are shuffled and the labels are not", """
def train_head(body, head, images, labels, orders, lr, size):
    features = body.eval()(images)
    optimizer = torch.optim.SGD(head.parameters(), lr=lr)
    for order in orders:
        for rows, target in zip(order.split(size), labels.split(size)):
            optimizer.zero_grad()
            F.cross_entropy(head(features[rows]), target).backward()
            optimizer.step()
"""),
        ("the right head, but the body runs anew", """
def train_head(body, head, images, labels, orders, lr, size):
    body.eval()
    optimizer = torch.optim.SGD(head.parameters(), lr=lr)
    for order in orders:
        for rows in order.split(size):
            with torch.no_grad():
                features = body(images[rows])
            optimizer.zero_grad()
            F.cross_entropy(head(features), labels[rows]).backward()
            optimizer.step()
"""),
        ("in the shuffled order of the first epoch", """
def train_head(body, head, images, labels, orders, lr, size):
    body.eval()
    features = torch.cat([body(images[rows]) for rows in orders[0].split(size)])
    optimizer = torch.optim.SGD(head.parameters(), lr=lr)
    for order in orders:
        for rows in order.split(size):
            optimizer.zero_grad()
            F.cross_entropy(head(features[rows]), labels[rows]).backward()
            optimizer.step()
"""),
        ("the last, smaller batch is left out", """
def train_head(body, head, images, labels, orders, lr, size):
    features = body.eval()(images)
    optimizer = torch.optim.SGD(head.parameters(), lr=lr)
    for order in orders:
        for k in range(len(images) // size):
            rows = order[k * size:(k + 1) * size]
            optimizer.zero_grad()
            F.cross_entropy(head(features[rows]), labels[rows]).backward()
            optimizer.step()
"""),
    ],
    "training.8": [
        ("dropout draws other masks", """
def keep(model, optimizer, scheduler):
    a, b, c = (copy.deepcopy(part.state_dict()) for part in (model, optimizer, scheduler))
    def back():
        model.load_state_dict(a)
        optimizer.load_state_dict(b)
        scheduler.load_state_dict(c)
    return back
"""),
        ("the states are not copied", """
def keep(model, optimizer, scheduler):
    a, b, c = model.state_dict(), optimizer.state_dict(), scheduler.state_dict()
    def back():
        model.load_state_dict(a)
        optimizer.load_state_dict(b)
        scheduler.load_state_dict(c)
    return back
"""),
        ("weights and momentum are not put back", """
def keep(model, optimizer, scheduler):
    a, b, c, r = model.state_dict(), optimizer.state_dict(), scheduler.state_dict(), torch.get_rng_state()
    def back():
        model.load_state_dict(a)
        optimizer.load_state_dict(b)
        scheduler.load_state_dict(c)
        torch.set_rng_state(r)
    return back
"""),
        ("the weights are still the later ones", """
def keep(model, optimizer, scheduler):
    a, b = dict(model.state_dict()), copy.deepcopy(optimizer.state_dict())
    c, r = scheduler.state_dict(), torch.get_rng_state()
    def back():
        model.load_state_dict(a)
        optimizer.load_state_dict(b)
        scheduler.load_state_dict(c)
        torch.set_rng_state(r)
    return back
"""),
        ("the weights are back, the momentum is the later one: `optimizer.state_dict()`", """
def keep(model, optimizer, scheduler):
    a = {name: value.clone() for name, value in model.state_dict().items()}
    b, c, r = optimizer.state_dict(), scheduler.state_dict(), torch.get_rng_state()
    def back():
        model.load_state_dict(a)
        optimizer.load_state_dict(b)
        scheduler.load_state_dict(c)
        torch.set_rng_state(r)
    return back
"""),
        ("only the model is put back", """
def keep(model, optimizer, scheduler):
    kept = copy.deepcopy(model)
    return lambda: model.load_state_dict(kept.state_dict())
"""),
        ("as in most examples of checkpoints", """
def keep(model, optimizer, scheduler):
    checkpoint = copy.deepcopy({"model": model.state_dict(), "optimizer": optimizer.state_dict()})
    def back():
        model.load_state_dict(checkpoint["model"])
        optimizer.load_state_dict(checkpoint["optimizer"])
    return back
"""),
        ("goes on from the later step", """
def keep(model, optimizer, scheduler):
    a, b, r = copy.deepcopy(model.state_dict()), copy.deepcopy(optimizer.state_dict()), torch.random.get_rng_state()
    def back():
        model.load_state_dict(a)
        optimizer.load_state_dict(b)
        torch.random.set_rng_state(r)
    return back
"""),
        ("running statistics are the later ones", """
def keep(model, optimizer, scheduler):
    weights = [p.detach().clone() for p in model.parameters()]
    b, c, r = copy.deepcopy(optimizer.state_dict()), scheduler.state_dict(), torch.get_rng_state()
    def back():
        for p, w in zip(model.parameters(), weights): p.data.copy_(w)
        optimizer.load_state_dict(b)
        scheduler.load_state_dict(c)
        torch.set_rng_state(r)
    return back
"""),
        ("your function returns None", """
def keep(model, optimizer, scheduler):
    state = copy.deepcopy(model.state_dict())
    def back():
        model.load_state_dict(state)
"""),
    ],
}
