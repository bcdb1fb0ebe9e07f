"""Text cut into windows of tokens, for perplexity."""

from __future__ import annotations

import numpy as np
import pandas as pd

from fasp_core.data.tokens import Tokenizer, plain_tokens, start_tokens

SHORTEST_WINDOW = 16  # tokens; a shorter rest of an article is not worth a forward pass


def token_windows(
    tokenizer: Tokenizer, articles: pd.DataFrame, *, length: int, stride: int | None = None
) -> pd.DataFrame:
    """The articles (columns article, split, text) as windows: window_id, article, split, token_ids.

    Every window begins with the tokenizer's start tokens, which count towards its `length`.
    The rest of an article is kept if it has at least `SHORTEST_WINDOW` tokens. With a `stride`, the text of each split
    is one stream instead, as in the published recipe: a window begins every `stride` tokens, and tokens between windows
    are left out (with the recipe's 256 of every 512 tokens, half of the text).
    The recipe puts special tokens around the stream, not around each window.
    """
    rows = []
    if stride is not None:
        for split, texts in articles.groupby("split", sort=False)["text"]:
            ids = tokenizer("\n\n".join(texts))["input_ids"]
            starts = range(0, max(1, len(ids) - length + 1), stride)
            rows += [("all", split, ids[start : start + length]) for start in starts]
        articles = articles.iloc[:0]
    begin = start_tokens(tokenizer)
    step = max(1, length - len(begin))
    for article, split, text in articles[["article", "split", "text"]].itertuples(index=False):
        (ids,) = plain_tokens(tokenizer, [text])
        pieces = [[*begin, *ids[start : start + step]] for start in range(0, len(ids), step)]
        rows += [(article, split, piece) for piece in pieces if len(piece) >= min(SHORTEST_WINDOW, length)]
    frame = pd.DataFrame(rows, columns=["article", "split", "token_ids"])
    frame.insert(0, "window_id", np.arange(len(frame)))
    return frame
