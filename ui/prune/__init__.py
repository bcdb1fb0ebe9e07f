"""What only the Prune page shows."""
