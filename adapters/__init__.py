"""What an EMR says, put in our words."""
