"""What is sent: mix, schedule, profiles."""
