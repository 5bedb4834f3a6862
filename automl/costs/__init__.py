"""What a policy costs: pure functions of the graph and the policy."""
