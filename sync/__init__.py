"""When to read an EMR, how often, and what to do when it fails."""
