"""What only the Correlations page shows."""
