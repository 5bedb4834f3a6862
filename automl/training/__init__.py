"""One train loop for the baseline and the fine-tune."""
