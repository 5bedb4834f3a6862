"""The gymnasium environment; import from its submodules."""
