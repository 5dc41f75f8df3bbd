"""What is known about a source besides its patients: what it brought, what could not be used, what was found out."""
