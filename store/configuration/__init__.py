"""Which configuration is in force, and which one the brake holds."""
