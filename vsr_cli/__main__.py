"""`python -m vsr_cli` is `vsr`."""

from vsr_cli.cli.app import main

if __name__ == "__main__":
    main()
