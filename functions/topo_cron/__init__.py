"""The function that publishes a full snapshot every hour."""
