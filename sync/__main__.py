"""``python -m sync``: the program ``emr-sync``, for a process that starts another one of itself."""

from sync.commands.cli import main

if __name__ == "__main__":
    main()
