"""What only the Heads page shows."""
