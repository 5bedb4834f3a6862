"""What the README's numbers come from: `python -m benchmarks.NAME` prints one table each."""
