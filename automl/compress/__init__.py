"""Makes a network smaller: importance, surgery, batch-norm recalibration."""
