"""Names, durations, sizes and ranges as people say them."""

from __future__ import annotations

DEFAULT_MODEL = "SmolLM2-135M-Instruct"


def model_title(name: str | None, ref: str | None = None) -> str:
    """What a model is called on pages and in files: the default model by its own name, the others as recorded."""
    is_default = (ref or name) == "default" and name in (None, "default")
    return DEFAULT_MODEL if is_default else name or ref or "unknown"


def spoken_range(seconds_low: float, seconds: float, seconds_high: float) -> str:
    """A time with its error, as people say it: `about 9 min (5 to 18 min)`."""
    low, middle, high = map(_minutes, (seconds_low, seconds, seconds_high))
    return f"about {middle}" if low == high else f"about {middle} ({low} to {high})"


def some_heads(n: int) -> str:
    """A number of heads: `1 head`, `1,024 heads`."""
    return f"{n:,} {'head' if n == 1 else 'heads'}"


def spoken_bytes(n: float) -> str:
    """Bytes as people say them: `2.6 GB`, `14 MB`."""
    for unit, size in (("TB", 1e12), ("GB", 1e9), ("MB", 1e6)):
        if n >= size:
            return f"{n / size:.3g} {unit}"
    return f"{max(1, round(n / 1e3))} kB"


def rough_bytes(n: float) -> str:
    """An estimate of bytes, with the two digits that it may promise: `2.8 GB`."""
    return spoken_bytes(float(f"{n:.1e}"))


def _minutes(seconds: float) -> str:
    if seconds < 90:
        return f"{max(1, round(seconds))} s"
    if seconds < 90 * 60:
        return f"{round(seconds / 60)} min"
    if seconds < 72 * 3600:
        return f"{seconds / 3600:.1f} h"
    return f"{round(seconds / 86400)} days"


def duration(seconds: float) -> str:
    """Seconds as people say them: `45 s`, `3 min 20 s`, `2 h 5 min`."""
    seconds = max(0, round(seconds))
    if seconds < 60:
        return f"{seconds} s"
    if seconds < 3600:
        return f"{seconds // 60} min {seconds % 60} s"
    return f"{seconds // 3600} h {seconds % 3600 // 60} min"
