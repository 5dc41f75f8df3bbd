"""What is true about a patient's contact preferences, and who may be contacted."""
