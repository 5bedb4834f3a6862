"""The largest numbers that settings and files may have: beyond them memory ends, or a counter of some library does."""

MOST_SIZE = 4096
"""Height and width of an image, in pixels."""
MOST_CLASSES = 100_000
MOST_SEED = 2**32 - 1
MOST_TRIALS = 10**9
MOST_EPOCHS = 10**6
MOST_THREADS = 1024
MOST_MULTIPLE = 2**20
"""Of which kept channels are multiples."""
LEAST_MS, MOST_MS = 1e-6, 1e9
"""Times of a network or a layer, in milliseconds."""
MOST_SECONDS = 36e6
"""10,000 hours; timers of the system overflow at some of these."""
MOST_OF_AN_AGENT = 10**5
"""Neurons, episodes and whatever else an agent has a number of."""
