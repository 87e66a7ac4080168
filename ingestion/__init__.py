"""What arrives: source systems, mappings, the gates and the quarantine."""
