"""Changes that are held for review before they may permit more contact, and their review."""
