"""What a policy is worth: one evaluation, cached by the policy's digest."""
