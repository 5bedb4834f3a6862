"""Types and pure functions that the rest stands on; no framework is imported here."""
