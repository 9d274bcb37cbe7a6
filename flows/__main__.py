"""`python -m flows` is `salience`."""

from flows.cli import main

main()
