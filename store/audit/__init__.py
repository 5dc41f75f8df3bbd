"""What was known, said and done, so that nobody can change it unnoticed."""
