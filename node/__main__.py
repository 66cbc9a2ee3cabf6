"""`python -m node` is the `arnode` command."""

from node.commands.cli import main

if __name__ == "__main__":
    main()
