"""Which widths each channel group may take; import from its submodules."""
