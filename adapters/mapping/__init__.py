"""From what an EMR wrote to our words, whatever the protocol: site rules, code tables, telecom, language."""
