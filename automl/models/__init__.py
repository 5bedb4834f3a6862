"""Where networks and weights come from."""
