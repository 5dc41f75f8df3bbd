"""Two records that are one person, and what is left of that when they part again."""
