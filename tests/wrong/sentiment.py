"""Wrong answers as people write them, each with a part of the sentence that should name the mistake."""

WRONG = {
    "sentiment.1": [
        ("has lost its `[SEP]`", """
def encode(texts, limit, cls, sep, pad):
    width = min(limit, max(len(t) for t in texts) + 2)
    tokens = torch.full((len(texts), width), pad)
    mask = torch.zeros(len(texts), width, dtype=torch.long)
    for i, text in enumerate(texts):
        row = torch.tensor([cls, *text, sep])[:width]
        tokens[i, :len(row)] = row
        mask[i, :len(row)] = 1
    return tokens, mask
"""),
        ("two longer than `limit`", """
def encode(texts, limit, cls, sep, pad):
    rows = [[cls] + t[:limit] + [sep] for t in texts]
    n = max(map(len, rows))
    tokens = torch.tensor([r + [pad] * (n - len(r)) for r in rows])
    return tokens, (tokens != pad).long()
"""),
        ("one entry more than `limit`", """
def encode(texts, limit, cls, sep, pad):
    rows = []
    for text in texts:
        row = [cls] + text
        if len(row) > limit: row = row[:limit]
        rows.append(torch.tensor(row + [sep]))
    tokens = torch.nn.utils.rnn.pad_sequence(rows, batch_first=True, padding_value=pad)
    return tokens, (tokens != pad).long()
"""),
        ("one piece more than needed", """
def encode(texts, limit, cls, sep, pad):
    rows = []
    for text in texts:
        while len(text) + 2 >= limit: text = text[:-1]
        rows.append(torch.tensor([cls] + text + [sep]))
    tokens = torch.nn.utils.rnn.pad_sequence(rows, batch_first=True, padding_value=pad)
    return tokens, (tokens != pad).long()
"""),
        ("its beginning is lost", """
def encode(texts, limit, cls, sep, pad):
    rows = [[cls] + t[max(0, len(t) - limit + 2):] + [sep] for t in texts]
    n = max(map(len, rows))
    tokens = torch.tensor([r + [pad] * (n - len(r)) for r in rows])
    return tokens, (tokens != pad).long()
"""),
        ("comes after the padding", """
def encode(texts, limit, cls, sep, pad):
    rows = [[cls] + t[:limit - 2] for t in texts]
    n = max(map(len, rows))
    tokens = torch.tensor([r + [pad] * (n - len(r)) + [sep] for r in rows])
    return tokens, (tokens != pad).long()
"""),
        ("0 on the special tokens", """
def encode(texts, limit, cls, sep, pad):
    rows = [[cls] + t[:limit - 2] + [sep] for t in texts]
    n = max(map(len, rows))
    tokens = torch.tensor([r + [pad] * (n - len(r)) for r in rows])
    return tokens, (tokens >= 1000).long()
"""),
    ],
    "sentiment.2": [
        ("learned from `train` alone", """
def tfidf(train, test):
    df = (test > 0).sum(0)
    idf = torch.log((1 + len(test)) / (1 + df)) + 1
    w = torch.where(test > 0, 1 + torch.log(test.clamp(min=1)), 0) * idf
    return torch.nn.functional.normalize(w, dim=1)
"""),
        ("you counted its occurrences", """
def tfidf(train, test):
    idf = torch.log((1 + train.shape[0]) / (1 + train.sum(dim=0))) + 1
    w = torch.where(test > 0, 1 + torch.log(test.clamp(min=1)), 0) * idf
    return torch.nn.functional.normalize(w, dim=1)
"""),
        ("the smoothing is missing", """
def tfidf(train, test):
    idf = torch.log(len(train) / (train > 0).sum(0)) + 1
    w = torch.where(test > 0, 1 + torch.log(test.clamp(min=1)), 0) * idf
    return torch.nn.functional.normalize(w, dim=1)
"""),
        ("the 1 behind the logarithm", """
def tfidf(train, test):
    idf = torch.log((1 + len(train)) / (1 + train.bool().sum(0)))
    w = torch.where(test > 0, 1 + torch.log(test.clamp(min=1)), 0) * idf
    return torch.nn.functional.normalize(w, dim=1)
"""),
        ("go in as they are", """
def tfidf(train, test):
    idf = torch.log((1 + len(train)) / (1 + (train > 0).sum(0))) + 1
    return torch.nn.functional.normalize(test * idf, dim=1)
"""),
        ("`ln(1 + c)`", """
def tfidf(train, test):
    idf = torch.log((1 + len(train)) / (1 + (train > 0).sum(0))) + 1
    return torch.nn.functional.normalize(torch.log(1 + test) * idf, dim=1)
"""),
        ("keep their length", """
def tfidf(train, test):
    idf = ((1 + len(train)) / (1 + (train > 0).sum(0))).log() + 1
    out = torch.zeros(test.shape)
    for i, row in enumerate(test.tolist()):
        for j, c in enumerate(row):
            if c: out[i, j] = (1 + math.log(c)) * idf[j]
    return out
"""),
        ("has become NaN", """
def tfidf(train, test):
    idf = torch.log((1 + len(train)) / (1 + (train > 0).sum(0))) + 1
    w = torch.where(test > 0, 1 + torch.log(test.clamp(min=1)), 0) * idf
    return w / (w ** 2).sum(1, keepdim=True).sqrt()
"""),
    ],
    "sentiment.3": [
        ("single words are all", """
def terms(text):
    return [word.lower() for word in text.split()]
"""),
        ("pairs of neighbours are not enough", """
def terms(text):
    words = text.split(" ")
    return [words[i] + " " + words[i + 1] for i in range(len(words) - 1)]
"""),
        ("can't tell a negated opinion from a plain one", """
def terms(text):
    words = text.split()
    return [a + "_" + b for a, b in zip(words[:-1], words[1:])]
"""),
        ("over the budget", """
def terms(text):
    words = text.split()
    return words + [a + "_" + b for a, b in zip(words[:-1], words[1:])]
"""),
        ("where does a negation end", """
def terms(text):
    out, seen = [], False
    for word in text.split():
        out.append(word + "!" if seen else word)
        seen = seen or word in ("not", "never", "no")
    return out
"""),
        ("can't tell a negated opinion from a plain one", """
def terms(text):
    words = text.split()
    out = []
    for before, word in zip([""] + words, words):
        out.append("neg:" + word if before in ("not", "never", "no") else word)
    return out
"""),
        ("you took the negations out", """
def terms(text):
    stop = {"not", "never", "no"}
    return [w for w in text.split() if w not in stop]
"""),
        ("a sentence's terms must be a list of texts", """
def terms(text):
    return text.replace("not ", "not_")
"""),
    ],
    "sentiment.4": [
        ("padding is in your mean", """
def pool(hidden, mask):
    return torch.stack([text.mean(dim=0) for text in hidden])
"""),
        ("divide by the longest length", """
def pool(hidden, mask):
    hidden = hidden.clone()
    hidden[mask == 0] = 0
    return hidden.mean(dim=1)
"""),
        ("only the number that you divide by", """
def pool(hidden, mask):
    return hidden.sum(dim=1) / mask.sum(dim=1)[:, None]
"""),
        ("number of tokens in the whole batch", """
def pool(hidden, mask):
    return torch.einsum("nld,nl->nd", hidden, mask.float()) / mask.sum()
"""),
        ("the first token alone", """
def pool(hidden, mask):
    return hidden[:, 0, :]
"""),
        ("divide by the number of tokens", """
def pool(hidden, mask):
    return torch.einsum("nld,nl->nd", hidden, mask.float())
"""),
        ("the largest number", """
def pool(hidden, mask):
    return torch.stack([h[m == 1].max(dim=0).values for h, m in zip(hidden, mask)])
"""),
    ],
    "sentiment.5": [
        ("and beyond its end `np.interp` repeats", """
def worth(counting, tuned):
    n = [a for a, _ in counting]
    acc = [b for _, b in counting]
    return [float(np.interp(y, acc, n)) / size for size, y in tuned]
"""),
        ("read on a linear axis: between", """
def worth(counting, tuned):
    out = []
    for size, y in tuned:
        at = None
        for (n0, y0), (n1, y1) in zip(counting, counting[1:]):
            if y0 <= y <= y1: at = n0 + (n1 - n0) * (y - y0) / (y1 - y0)
        out.append(at / size if at else None)
    return out
"""),
        ("you took its last point", """
def worth(counting, tuned):
    n, acc = np.array(counting).T
    return [float(np.exp(np.interp(y, acc, np.log(n))) / size) for size, y in tuned]
"""),
        ("the measured points behind", """
def worth(counting, tuned):
    out = []
    for size, y in tuned:
        reached = [n for n, acc in counting if acc >= y]
        out.append(reached[0] / size if reached else None)
    return out
"""),
        ("this is a number of sentences", """
def worth(counting, tuned):
    n, acc = zip(*counting)
    return [math.exp(np.interp(y, acc, np.log(n))) if y <= acc[-1] else None for _, y in tuned]
"""),
        ("upside down", """
def worth(counting, tuned):
    n, acc = zip(*counting)
    return [size / math.exp(np.interp(y, acc, np.log(n))) if y <= acc[-1] else None for size, y in tuned]
"""),
        ("you read upwards", """
def worth(counting, tuned):
    n, acc = zip(*counting)
    return [y - float(np.interp(math.log(size), np.log(n), acc)) for size, y in tuned]
"""),
    ],
    "sentiment.6": [
        ("padding still takes part", """
def attend(q, k, v, mask):
    k = k * mask[..., None]
    weights = torch.softmax(torch.einsum("nqd,nkd->nqk", q, k) / q.shape[2] ** 0.5, dim=-1)
    return weights @ v
"""),
        ("*after* the softmax", """
def attend(q, k, v, mask):
    weights = (q @ k.mT / math.sqrt(q.size(-1))).softmax(-1)
    return weights @ (v * mask.unsqueeze(-1))
"""),
        ("nothing hides the padding", """
def attend(q, k, v, mask):
    scores = q @ k.transpose(1, 2) / math.sqrt(q.shape[-1])
    scores = scores.masked_fill(mask[:, :, None] == 0, float("-inf"))
    return scores.softmax(dim=-1) @ v
"""),
        ("lower by 1 and no more", """
def attend(q, k, v, mask):
    return torch.nn.functional.scaled_dot_product_attention(q, k, v, attn_mask=mask[:, None].float())
"""),
        ("the wrong way round", """
def attend(q, k, v, mask):
    scores = q @ k.transpose(1, 2) / math.sqrt(q.shape[-1])
    scores = scores.masked_fill(mask[:, None, :].bool(), -1e9)
    return scores.softmax(dim=-1) @ v
"""),
        ("the masks went to the wrong axis", """
def attend(q, k, v, mask):
    scores = q @ k.transpose(1, 2) / math.sqrt(q.shape[-1])
    scores = torch.where(mask.bool(), scores, -1e9)
    return scores.softmax(dim=-1) @ v
"""),
        ("no longer divided by the root of D", """
def attend(q, k, v, mask):
    scores = torch.bmm(q, k.permute(0, 2, 1)) + (1.0 - mask[:, None, :]) * -10000.0
    return torch.bmm(scores.softmax(dim=2), v)
"""),
    ],
    "sentiment.7": [
        ("the real tokens are summed", """
def batches(lengths, budget):
    out, total = [[]], 0
    for i in sorted(range(len(lengths)), key=lambda i: lengths[i], reverse=True):
        if out[-1] and total + lengths[i] > budget:
            out.append([])
            total = 0
        out[-1].append(i)
        total += lengths[i]
    return out
"""),
        ("exactly `budget` is allowed", """
def batches(lengths, budget):
    order = np.argsort(lengths)[::-1].tolist()
    out = []
    while order:
        n = 1
        while n < len(order) and (n + 1) * lengths[order[0]] < budget: n += 1
        out.append(order[:n])
        order = order[n:]
    return out
"""),
        ("from the shortest to the longest", """
def batches(lengths, budget):
    out = []
    for i in sorted(range(len(lengths)), key=lengths.__getitem__):
        if out and (len(out[-1]) + 1) * lengths[i] <= budget: out[-1].append(i)
        else: out.append([i])
    return out
"""),
        ("are not sorted", """
def batches(lengths, budget):
    out, batch = [], []
    for i, n in enumerate(lengths):
        if batch and (len(batch) + 1) * max(n, *(lengths[j] for j in batch)) > budget:
            out.append(batch)
            batch = []
        batch.append(i)
    return out + [batch]
"""),
        ("places in the sorted list", """
def batches(lengths, budget):
    ordered = sorted(lengths, reverse=True)
    out, at = [], 0
    while at < len(ordered):
        n = max(budget // ordered[at], 1)
        out.append(list(range(at, min(at + n, len(ordered)))))
        at += n
    return out
"""),
        ("the last batch is missing", """
def batches(lengths, budget):
    out, batch = [], []
    for i in sorted(range(len(lengths)), key=lambda i: -lengths[i]):
        if batch and (len(batch) + 1) * lengths[batch[0]] > budget:
            out.append(batch)
            batch = []
        batch.append(i)
    return out
"""),
        ("your first batch is empty", """
def batches(lengths, budget):
    out, batch, longest = [], [], 0
    for i in sorted(range(len(lengths)), key=lambda i: -lengths[i]):
        longest = max(longest, lengths[i])
        if (len(batch) + 1) * longest > budget:
            out.append(batch)
            batch, longest = [], lengths[i]
        batch.append(i)
    out.append(batch)
    return out
"""),
        ("`pieces` of the library is called", """
from ftcourse.data import pieces
def batches(lengths, budget):
    rows = torch.arange(len(lengths))
    return [p.tolist() for p in pieces(rows, torch.tensor(lengths), len(lengths), budget)]
"""),
    ],
}
