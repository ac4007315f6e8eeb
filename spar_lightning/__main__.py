"""`python -m spar_lightning`."""

from spar_lightning.cli import main

if __name__ == "__main__":
    main()
