"""What is looked for in translated pictures, and what is drawn into them."""
