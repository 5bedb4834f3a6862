"""`python -m automl`."""

from automl.cli.main import main

main()
