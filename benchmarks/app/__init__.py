"""How fast the app answers, on the server and in a real browser, and its screenshots: `python -m benchmarks.app`."""
