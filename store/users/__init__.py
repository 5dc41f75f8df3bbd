"""Who may sign in or call: users, passwords, sessions and API keys."""
