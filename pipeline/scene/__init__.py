"""What is known of a camera's scene: night or day, the empty background, whether the view changed."""
