"""The command line; a module per group of commands in ``sync.commands``."""
