"""`python -m bridge.cli`: the same as `lighthouse`."""

from bridge.cli.main import main

if __name__ == "__main__":
    main()
