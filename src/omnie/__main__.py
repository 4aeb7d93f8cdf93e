"""`python -m omnie` is `omnie`."""

from omnie.cli.main import main

if __name__ == "__main__":
    main()
