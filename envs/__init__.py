"""The gymnasium environment (to come); import from its submodules."""
