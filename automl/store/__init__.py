"""The run folder and the study, which survive a kill."""
