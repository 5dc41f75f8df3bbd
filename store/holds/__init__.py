"""What waits for a person before it may permit more contact, whoever asked for it."""
