"""What an event is before it is bytes, and how it becomes one line of text."""
