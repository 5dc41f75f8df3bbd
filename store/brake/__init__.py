"""What would make many patients more contactable waits for a person (product section 8)."""
