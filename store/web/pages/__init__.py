"""The pages for staff, engineers and auditors."""
