"""From waiting frames to day pictures."""
