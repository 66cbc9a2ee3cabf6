"""`python -m node` is the `arnode` command."""

from node.cli import main

if __name__ == "__main__":
    main()
