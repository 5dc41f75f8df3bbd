"""The sync: when to read an EMR, how often, and what to do when it fails."""
