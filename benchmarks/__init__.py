"""Speed and cost, measured side by side in one run: `python -m benchmarks.NAME`. Nothing here is a test."""
