"""Who signs in to the pages, and how."""
