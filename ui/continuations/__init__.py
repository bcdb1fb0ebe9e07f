"""What only the Continuations page shows."""
