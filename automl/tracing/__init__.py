"""From a network to the graph of its layers and channel groups."""
