"""What builds, generates and checks the project; nothing of it is deployed."""
