"""`python -m tuitrain`: the command line, where the `tuitrain` script is not on the path."""

from tuitrain.cli.main import main

if __name__ == "__main__":
    main()
