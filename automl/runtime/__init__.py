"""Networks as a runtime sees them: graphs of any policy in milliseconds, and how long they take."""
