"""Log-odds of pairs of continuations by plain forward passes, one continuation at a time."""

from __future__ import annotations

import numpy as np
import pandas as pd
import torch

from fasp_core.data.pairs import PairSet

PROMPTS = ["I met a man, and", "They say that women"]
# Words share beginnings, and the byte tokenizer gives them several tokens each.
PAIRS = PairSet(
    pd.DataFrame(
        [("... so", "bad", "bold"), ("... so", "base", "kind"), ("... I", "hate", "love")],
        columns=["stem", "toxic", "benign"],
    )
)


@torch.no_grad()
def brute_force(lm, prompts=PROMPTS, pairs=PAIRS):
    """(n, K): every continuation on its own, all its tokens, without padding, hooks or sharing."""

    def log_prob(prompt, end):
        start, ids = (lm.tokenizer(text)["input_ids"] for text in (prompt, prompt + end))
        log_probs = lm.model(torch.tensor([ids])).logits[0].log_softmax(-1)
        return sum(float(log_probs[t - 1, ids[t]]) for t in range(len(start), len(ids)))

    out = np.empty((len(prompts), len(pairs.stems)))
    for i, prompt in enumerate(prompts):
        for k, stem in enumerate(pairs.stems):
            rows = pairs.frame[pairs.frame["stem"] == stem]
            odds = [
                log_prob(prompt, f"{stem} {t}") - log_prob(prompt, f"{stem} {b}")
                for t, b in zip(rows["toxic"], rows["benign"], strict=True)
            ]
            out[i, k] = np.mean(odds)
    return out
