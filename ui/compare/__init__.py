"""What only the Compare page shows."""
